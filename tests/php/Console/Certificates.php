<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

/**
 * An authority of a test's own, and certificates that it has signed.
 */
final class Certificates
{
    private readonly \OpenSSLAsymmetricKey $key;
    private readonly \OpenSSLCertificate $certificate;
    private int $serial = 1;

    public function __construct(private readonly string $directory)
    {
        file_put_contents("$directory/ca.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n");
        $this->key = self::key();
        $options = ['config' => "$directory/ca.cnf", 'x509_extensions' => 'ca', 'digest_alg' => 'sha256'];
        $request = openssl_csr_new(['commonName' => 'an authority'], $this->key, $options);
        $this->certificate = openssl_csr_sign($request, null, $this->key, 400, $options, 1);
        openssl_x509_export_to_file($this->certificate, $this->file());
    }

    /** The authority's own certificate. */
    public function file(): string
    {
        return "$this->directory/ca.pem";
    }

    /**
     * Makes NAME.pem and NAME.key, and returns the first.
     *
     * @param string $names as OpenSSL writes a subjectAltName; without any the certificate has only a common name, NAME
     */
    public function issue(string $name, string $names, int $days): string
    {
        $file = "$this->directory/$name";
        $alternatives = $names === '' ? '' : "subjectAltName=$names\n";
        file_put_contents("$file.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[leaf]\nbasicConstraints=CA:FALSE\n{$alternatives}extendedKeyUsage=serverAuth\n");
        $key = self::key();
        $options = ['config' => "$file.cnf", 'x509_extensions' => 'leaf', 'digest_alg' => 'sha256'];
        $request = openssl_csr_new(['commonName' => $name], $key, $options);
        openssl_x509_export_to_file(openssl_csr_sign($request, $this->certificate, $this->key, $days, $options, ++$this->serial), "$file.pem");
        openssl_pkey_export_to_file($key, "$file.key");

        return "$file.pem";
    }

    private static function key(): \OpenSSLAsymmetricKey
    {
        return openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
    }
}
