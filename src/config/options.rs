//! The options of a source string: what each is called, what it accepts, what it is by default.

use std::path::PathBuf;
use std::time::Duration;

use super::rules::{AddressMap, AllowHosts};
use super::units::{parse_duration, parse_size};
use super::url::SourceUrl;
use super::{BasicAuth, Config, Fallback, ReaderPolicy, Secret, Source, SourceKind, Strategy, Timing, libpq};
use crate::address::{Endpoint, parse_port};
use crate::error::Error;
use crate::tls::{self, Identity, Roots, Trust};

pub(super) fn parse(text: &str) -> Result<Config, Error> {
    if text.len() > MAX_LENGTH {
        return Err(Error::not_text("more than 64 KiB"));
    }
    if text.contains('\0') {
        return Err(Error::not_text("a NUL byte"));
    }
    let texts: Vec<&str> = text.split_ascii_whitespace().collect();
    // A piece without a scheme is most likely the second half of a password with a space in it:
    // say that before anything else is parsed, and shown, of the first half.
    if let Some(i) = texts.iter().position(|text| !text.contains("://")) {
        SourceUrl::parse(texts[i], i + 1)?;
    }
    let mut urls = texts
        .iter()
        .enumerate()
        .map(|(i, text)| SourceUrl::parse(text, i + 1))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter();

    let first = urls.next().ok_or_else(Error::no_source)?;
    let mut config =
        Config { database: first.database.clone(), credentials: first.credentials.clone(), ..Config::with_defaults() };
    let mut options = Options::default();
    for (name, value) in &first.options {
        // What stands behind a password may be cut off it by a raw &.
        let is_after_password = options.patroni_password.is_some();
        options.set(&mut config, name, value).map_err(|e| if is_after_password { e.discreet() } else { e })?;
    }
    config.sources.push(source(first));
    for (i, url) in urls.enumerate() {
        let position = i + 2;
        if url.credentials.user.is_some() {
            return Err(Error::source(position, "credentials stand on the first source only"));
        }
        if let Some((name, _)) = url.options.first() {
            return Err(Error::source(position, format_args!("option {name}: options stand on the first source only")));
        }
        if url.database.is_some() && url.database != config.database {
            return Err(Error::source(
                position,
                "names another database: the database stands on the first source only",
            ));
        }
        config.sources.push(source(url));
    }
    options.finish(&mut config)?;
    Ok(config)
}

fn source(url: SourceUrl) -> Source {
    Source { kind: url.kind, hosts: url.hosts, display: url.display }
}

impl Config {
    fn with_defaults() -> Self {
        Self {
            sources: Vec::new(),
            database: None,
            credentials: super::Credentials::default(),
            timing: Timing {
                poll: Duration::from_secs(1),
                ttl: Duration::from_secs(10),
                max_stale: Duration::from_secs(300),
                timeout: Duration::from_secs(2),
                hedge: Duration::from_millis(100),
                connect_timeout: Duration::from_secs(3),
                failover_timeout: None,
            },
            reader: ReaderPolicy {
                strategy: Strategy::RoundRobin,
                fallback: Fallback::Writer,
                sync_only: false,
                max_lag: None,
            },
            port: None,
            map: AddressMap::default(),
            allow_hosts: None,
            nameserver: None,
            patroni_auth: None,
            patroni_tls: tls::Settings { trust: Trust::IssuerAndName(Roots::System), identity: None, revoked: None },
            libpq: Vec::new(),
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Options {
    seen: Vec<&'static str>,
    patroni_user: Option<String>,
    patroni_password: Option<Secret>,
    patroni_cafile: Option<PathBuf>,
    patroni_cert: Option<PathBuf>,
    patroni_key: Option<PathBuf>,
    libpq: Vec<(&'static str, String)>,
}

impl Options {
    fn set(&mut self, config: &mut Config, name: &str, value: &str) -> Result<(), Error> {
        let known = KNOWN.iter().chain(&libpq::KEYWORDS).find(|known| **known == name);
        let name = *known.ok_or_else(|| Error::unknown_option(name, &known_names()))?;
        if self.seen.contains(&name) {
            return Err(Error::repeated_option(name));
        }
        self.seen.push(name);

        let timing = &mut config.timing;
        match name {
            "poll" => timing.poll = positive(name, value)?,
            "ttl" => timing.ttl = duration(name, value)?,
            "max_stale" => timing.max_stale = duration(name, value)?,
            "timeout" => timing.timeout = positive(name, value)?,
            "hedge" => timing.hedge = duration(name, value)?,
            "connect_timeout" => timing.connect_timeout = positive(name, value)?,
            "failover_timeout" => timing.failover_timeout = Some(duration(name, value)?),
            "max_waiters" => {
                value
                    .parse::<u32>()
                    .ok()
                    .filter(|n| *n > 0 && all_digits(value))
                    .ok_or_else(|| Error::option(name, value, "expected a whole number, 1 or more"))?;
                return Err(later(name));
            }
            "max_lag" => {
                config.reader.max_lag = Some(parse_size(value).map_err(|e| Error::option(name, value, e))?);
            }
            "reader" => {
                config.reader.strategy = match value {
                    "round_robin" => Strategy::RoundRobin,
                    "random" => Strategy::Random,
                    "least_lag" => Strategy::LeastLag,
                    "nearest" => Strategy::Nearest,
                    _ => {
                        return Err(Error::option(name, value, "expected round_robin, random, least_lag or nearest"));
                    }
                }
            }
            "reader_fallback" => {
                config.reader.fallback = match value {
                    "writer" => Fallback::Writer,
                    "error" => Fallback::Error,
                    _ => return Err(Error::option(name, value, "expected writer or error")),
                }
            }
            "reader_sync" => {
                config.reader.sync_only = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(Error::option(name, value, "expected on or off")),
                }
            }
            "port" => config.port = Some(parse_port(value).map_err(|e| Error::option(name, value, e))?),
            "map" => config.map = AddressMap::parse(value).map_err(|e| Error::option(name, value, e))?,
            "allow_hosts" => {
                config.allow_hosts = Some(AllowHosts::parse(value).map_err(|e| Error::option(name, value, e))?);
            }
            "nameserver" => {
                config.nameserver = Some(Endpoint::parse(value, DNS_PORT).map_err(|e| Error::option(name, value, e))?);
            }
            "patroni_user" => {
                if value.is_empty() || value.contains(':') {
                    // Whoever writes user:password here has a password in it.
                    return Err(Error::secret_option(name, "expected a user name without a colon (RFC 7617)"));
                }
                self.patroni_user = Some(value.to_owned());
            }
            "patroni_password" => self.patroni_password = Some(Secret::new(value)),
            "patroni_cafile" | "patroni_cert" | "patroni_key" => {
                if !value.starts_with('/') {
                    return Err(Error::option(name, value, "expected the absolute path of a PEM file"));
                }
                let file = match name {
                    "patroni_cafile" => &mut self.patroni_cafile,
                    "patroni_cert" => &mut self.patroni_cert,
                    _ => &mut self.patroni_key,
                };
                *file = Some(value.into());
            }
            "proof" => match value {
                "off" => {}
                "ledger" | "xid" => return Err(later(&format!("proof={value}"))),
                _ => return Err(Error::option(name, value, "expected ledger, xid or off")),
            },
            keyword => self.libpq.push((keyword, libpq::value(keyword, value)?)),
        }
        Ok(())
    }

    fn finish(self, config: &mut Config) -> Result<(), Error> {
        config.patroni_auth = match (self.patroni_user, self.patroni_password) {
            (Some(user), Some(password)) => Some(BasicAuth { user, password }),
            (None, None) => None,
            (Some(_), None) => return Err(Error::secret_option("patroni_user", "needs patroni_password beside it")),
            (None, Some(_)) => return Err(Error::secret_option("patroni_password", "needs patroni_user beside it")),
        };
        let has_tls_files = self.patroni_cafile.is_some() || self.patroni_cert.is_some();
        config.patroni_tls.trust = Trust::IssuerAndName(self.patroni_cafile.map_or(Roots::System, Roots::File));
        config.patroni_tls.identity = match (self.patroni_cert, self.patroni_key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(Error::secret_option("patroni_cert", "needs patroni_key beside it")),
            (None, Some(_)) => return Err(Error::secret_option("patroni_key", "needs patroni_cert beside it")),
        };
        if config.sources.iter().any(|source| source.kind == SourceKind::Patroni { is_tls: true }) {
            // Wrong files are better found now than in the first failover.
            config
                .patroni_tls
                .client_config()
                .map_err(|e| Error::secret_option("patroni_cafile, patroni_cert, patroni_key", e))?;
        } else if has_tls_files {
            return Err(Error::secret_option(
                "patroni_cafile, patroni_cert, patroni_key",
                "they belong to patroni+https:// and patroni+https+srv://",
            ));
        }
        config.libpq = libpq::complete(&self.libpq);
        Ok(())
    }
}

fn duration(name: &str, value: &str) -> Result<Duration, Error> {
    parse_duration(value).map_err(|e| Error::option(name, value, e))
}

fn positive(name: &str, value: &str) -> Result<Duration, Error> {
    let duration = duration(name, value)?;
    if duration.is_zero() {
        return Err(Error::option(name, value, "must be longer than zero"));
    }
    Ok(duration)
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn later(what: &str) -> Error {
    Error::not_yet(format_args!("option {what}"))
}

fn known_names() -> String {
    KNOWN.iter().chain(&libpq::KEYWORDS).copied().collect::<Vec<_>>().join(", ")
}

/// hadsn's own options.
const KNOWN: [&str; 22] = [
    "poll",
    "ttl",
    "max_stale",
    "timeout",
    "hedge",
    "connect_timeout",
    "failover_timeout",
    "max_waiters",
    "max_lag",
    "reader",
    "reader_fallback",
    "reader_sync",
    "port",
    "map",
    "allow_hosts",
    "nameserver",
    "patroni_user",
    "patroni_password",
    "patroni_cafile",
    "patroni_cert",
    "patroni_key",
    "proof",
];

/// Where a name server listens (RFC 1035, 4.2).
const DNS_PORT: u16 = 53;

/// A source string is read from files and environments of foreign making.
const MAX_LENGTH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(options: &str) -> Result<Config, Error> {
        Config::parse(&format!("patroni://a/app?{options}"))
    }

    #[test]
    fn every_option_is_read() {
        let c = config(
            "poll=2s&ttl=20s&max_stale=1m&timeout=1s&hedge=50ms&connect_timeout=4s&failover_timeout=0s&max_lag=1MiB\
             &reader=least_lag&reader_fallback=error&reader_sync=on&port=6432&map=a=b&allow_hosts=b\
             &patroni_user=u&patroni_password=p&proof=off&sslmode=verify-full&application_name=my%20app",
        )
        .unwrap();
        assert_eq!(c.timing.poll, Duration::from_secs(2));
        assert_eq!(c.timing.leader_window(), Duration::from_secs(5));
        assert_eq!(c.timing.failover_timeout, Some(Duration::ZERO));
        assert_eq!(c.reader.max_lag, Some(1 << 20));
        assert_eq!(c.reader.strategy, Strategy::LeastLag);
        assert_eq!(c.reader.fallback, Fallback::Error);
        assert!(c.reader.sync_only);
        assert_eq!(c.port, Some(6432));
        assert_eq!(c.libpq[..2], [("sslmode", "verify-full".to_owned()), ("application_name", "my app".to_owned())]);
    }

    #[test]
    fn a_dead_peer_is_bounded_by_default() {
        let c = Config::parse("patroni://a").unwrap();
        let text: Vec<_> = c.libpq.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            text,
            ["tcp_user_timeout=5000", "keepalives_idle=10", "keepalives_interval=3", "keepalives_count=3"]
        );
        let c = config("tcp_user_timeout=100").unwrap();
        assert_eq!(c.libpq[0], ("tcp_user_timeout", "100".to_owned()));
    }

    #[test]
    fn a_bad_value_is_refused_and_named() {
        for (option, value) in [
            ("poll", "0s"),
            ("poll", "1"),
            ("ttl", "x"),
            ("max_stale", "-1s"),
            ("timeout", "0ms"),
            ("hedge", "1h"),
            ("connect_timeout", "3"),
            ("failover_timeout", ""),
            ("max_waiters", "0"),
            ("max_waiters", "x"),
            ("max_lag", "1M"),
            ("reader", "fastest"),
            ("reader_fallback", "none"),
            ("reader_sync", "yes"),
            ("port", "0"),
            ("map", "a"),
            ("allow_hosts", "10.0.0.0/99"),
            ("nameserver", "a;b"),
            ("patroni_cafile", ""),
            ("proof", "maybe"),
            ("sslmode", "on"),
            ("gssencmode", "x"),
            ("channel_binding", "x"),
            ("tcp_user_timeout", "5s"),
            ("keepalives_count", "-1"),
            ("keepalives_idle", "99999999999"),
            ("passfile", ""),
        ] {
            let error = config(&format!("{option}={value}")).unwrap_err();
            assert!(error.message().starts_with(&format!("option {option}: \"{value}\"")), "{error}");
        }
    }

    #[test]
    fn what_has_not_come_yet_says_so() {
        for option in ["max_waiters=5", "proof=ledger", "proof=xid"] {
            let error = config(option).unwrap_err();
            assert!(error.message().contains("not available in hadsn"), "{error}");
        }
    }

    #[test]
    fn unknown_and_repeated_options_are_refused() {
        assert!(config("tll=5s").unwrap_err().message().contains("unknown option \"tll\""));
        assert!(config("TTL=5s").is_err());
        assert!(config("ttl=5s&ttl=5s").unwrap_err().message().contains("option ttl: given twice"));
        assert!(config("patroni_user=u").is_err());
        assert!(config("patroni_user=u:hunter2&patroni_password=x").is_err_and(|e| !e.message().contains("hunter2")));
        assert!(config("patroni_password=hunter2").is_err_and(|e| !e.message().contains("hunter2")));
    }

    #[test]
    fn only_the_first_source_carries_more_than_hosts() {
        let c = Config::parse(" patroni://u:p@a/app?ttl=5s\n\tpatroni://b,c \n patroni://d/app ").unwrap();
        assert_eq!(c.sources.len(), 3);
        assert_eq!(c.display(), "patroni://a/app?ttl=5s patroni://b,c patroni://d/app");
        for second in ["patroni://u@b", "patroni://b?ttl=5s", "patroni://b/other"] {
            assert!(Config::parse(&format!("patroni://a/app {second}")).is_err(), "{second}");
        }
    }

    #[test]
    fn a_space_in_a_password_shows_none_of_it() {
        for text in [
            "patroni://u:hunter2 x@a/app",
            "patroni://u:x hunter2@a/app",
            "patroni://u:hunter2\n@a",
            "patroni://u:1 hunter2://@a",
            "patroni://u:hunter2 ://x@a",
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_follows_a_password_is_not_shown() {
        for rest in ["hunter2=x", "ttl=hunter2", "map=hunter2", "sslmode=hunter2", "reader=hunter2"] {
            let error = config(&format!("patroni_user=u&patroni_password=s3&{rest}")).unwrap_err();
            assert!(!error.message().contains("hunter2") && error.message().contains("%26"), "{error}");
        }
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        for text in ["", "  \n", "patroni://a\0", &format!("patroni://a/{}", "x".repeat(MAX_LENGTH))] {
            assert!(Config::parse(text).is_err());
        }
    }
}
