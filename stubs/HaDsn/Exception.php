<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * Everything that hadsn throws: {@see ConfigException}, {@see DiscoveryException}, {@see NoLeaderException} and
 * {@see NoReplicaException}. All of them are RuntimeExceptions too.
 *
 *     try {
 *         $pdo = new PDO(HaDsn::writer(), 'app', 'secret');
 *     } catch (HaDsn\Exception $e) {
 *         // the cluster could not be resolved
 *     } catch (PDOException $e) {
 *         // it could, and the server refused the connection
 *     }
 */
interface Exception extends \Throwable {}
