<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel\app;

use HaDsn\Laravel\FailoverException;
use HaDsn\NoLeaderException;
use HaDsn\Verdict;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Http\Response;

/**
 * Answers as docs/laravel.md proposes: 503 for what may be tried again, 500 for everything else, the exception's text in either.
 */
final class Handler implements ExceptionHandler
{
    public function report(\Throwable $e): void
    {
        fwrite(STDERR, 'reported ' . get_class($e) . ': ' . $e->getMessage() . "\n");
    }

    public function shouldReport(\Throwable $e): bool
    {
        return true;
    }

    public function render($request, \Throwable $e): Response
    {
        $mayTryAgain = $e instanceof NoLeaderException || ($e instanceof FailoverException && $e->verdict === Verdict::Retry);

        return new Response(json_encode(['error' => get_class($e) . ': ' . $e->getMessage()], JSON_INVALID_UTF8_SUBSTITUTE), $mayTryAgain ? 503 : 500);
    }

    public function renderForConsole($output, \Throwable $e): void {}
}
