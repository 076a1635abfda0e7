<?php

/*
 * Loads the classes that extend Laravel's, over stand-ins that have the signatures of another version. Arguments: the parameters of transaction(), and
 * how visible reconnectIfMissingConnection() is. A signature that does not fit is a fatal error.
 */

declare(strict_types=1);

require __DIR__ . '/../../Connection/autoload.php';

eval(<<<PHP
    namespace Illuminate\\Contracts\\Database {
        interface LostConnectionDetector
        {
            public function causedByLostConnection(\\Throwable \$e): bool;
        }
    }

    namespace Illuminate\\Database {
        class QueryException extends \\PDOException {}

        class PostgresConnection
        {
            protected \$pdo, \$readPdo, \$database, \$readWriteType, \$tablePrefix, \$config, \$reconnector, \$transactions, \$transactionsManager, \$recordsModified,
                \$readOnWriteConnection, \$pretending, \$readPdoConfig, \$latestPdoTypeRetrieved, \$directPdo, \$directPdoConfig;

            public function __construct(\$pdo, \$database = '', \$tablePrefix = '', array \$config = []) {}
            public function transaction($argv[1]) {}
            public function commit() {}
            public function rollBack(\$toLevel = null) {}
            public function getPdo() {}
            public function getReadPdo() {}
            public function setPdo(\$pdo) {}
            public function setReadPdo(\$pdo) {}
            $argv[2] function reconnectIfMissingConnection() {}
            protected function handleQueryException(QueryException \$e, \$query, \$bindings, \\Closure \$callback) {}
            protected function handleBeginTransactionException(\\Throwable \$e) {}
            protected function performRollBack(\$toLevel) {}
            protected function causedByLostConnection(\\Throwable \$e) {}
        }
    }

    namespace Illuminate\\Database\\Connectors {
        interface ConnectorInterface
        {
            public function connect(array \$config);
        }

        class PostgresConnector implements ConnectorInterface
        {
            public function connect(array \$config) {}
            public function createConnection(\$dsn, array \$config, array \$options) {}
            protected function getDsn(array \$config) {}
        }
    }
    PHP);

foreach (['PostgresConnection', 'Connector', 'LostConnections', 'FailoverException'] as $class) {
    echo class_exists("HaDsn\\Laravel\\$class") ? "$class\n" : "no $class\n";
}
