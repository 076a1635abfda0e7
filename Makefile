# hadsn. `make` lists what there is to make.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:

EXTENSION := $(CURDIR)/target/release/libhadsn.so
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
PHPUNIT := php -d extension=$(EXTENSION) -d memory_limit=512M /usr/bin/phpunit -c tests/php/phpunit.xml

# bindgen looks for libclang where Debian's default version would be.
ifneq ($(wildcard /usr/lib/llvm-14/lib),)
export LIBCLANG_PATH ?= /usr/lib/llvm-14/lib
endif

comma := ,
step = printf '\n=== %s\n' "$(1)"

.PHONY: help demo test test-unit bench build install-build install-check install-lab install-packaging check-rust check-php fix-php analyse test-php-unit test-php-lab valgrind deb dist test-packaging test-php84 test-zts clean

help:
	cat <<-'HELP'
	make demo        install what is missing, build, and show a PHP program write through a switchover and a crash
	make test        everything that checks the project (needs root or sudo for the lab)
	make test-unit   the part of it that needs no lab
	make bench       measure against other ways to find the leader
	make valgrind    the unit tests of PHP under valgrind
	make build       target/release/libhadsn.so
	make deb         build/php8.2-hadsn_VERSION_ARCH.deb
	make dist        build/dist: the archives of a release, as PIE looks for them
	make test-php84  the tests with PHP 8.4, PHPUnit 11 and newer frameworks, in a Debian 13 of its own (needs root or sudo)
	make test-zts    the unit tests with a thread-safe debug build of PHP 8.2, which it makes
	make fix-php     format the PHP files
	make analyse     static analysis of php/ (builds the analyser first, once)
	make clean       remove what was built
	HELP

demo: install-lab build
	$(call step,demo)
	$(SUDO) tests/lab/demo

test: install-lab check-rust check-php analyse build test-php-unit test-packaging test-php-lab
	$(call step,all tests have passed)

test-unit: install-build check-rust check-php build test-php-unit
	$(call step,the unit tests have passed)

bench: install-lab
	$(call step,building the release extension with the methods that do nothing)
	cargo build --release --features bench --target-dir target/bench
	$(call step,measuring)
	$(SUDO) bench/run target/bench/release/libhadsn.so

build: | install-build
	$(call step,building the release extension)
	cargo build --release

install-build:
	$(call step,installing what is missing to build)
	tests/lab/install build

install-lab:
	$(call step,installing what is missing for the lab)
	tests/lab/install lab

check-rust: | install-build
	$(call step,rustfmt)
	cargo fmt --check
	$(call step,clippy: the core)
	cargo clippy --no-default-features --all-targets -- -D warnings
	$(call step,clippy: the extension)
	cargo clippy --all-targets --features bench -- -D warnings
	$(call step,cargo test: the core and hostile answers)
	cargo test --no-default-features

check-php: | install-check
	$(call step,PHP: syntax and format)
	tests/check-php

fix-php: | install-check
	tests/check-php --fix

MAGO := /var/tmp/hadsn-mago-1.29.0

# PHPStan runs in GitHub's workflow; this is what can be had from crates.io alone.
analyse:
	$(call step,static analysis of php/)
	[[ -x $(MAGO)/bin/mago ]] || cargo install --quiet --locked --version 1.29.0 --root $(MAGO) mago
	$(MAGO)/bin/mago analyze --minimum-report-level error --minimum-fail-level error

install-check:
	$(call step,installing what is missing to check PHP files)
	tests/lab/install check

test-php-unit: build
	$(call step,PHPUnit: what needs no cluster)
	$(PHPUNIT) --testsuite unit
	$(call step,PHPUnit: the sample application$(comma) which uses HaDsn\Testing)
	php -d extension=$(EXTENSION) /usr/bin/phpunit -c tests/sample-app/phpunit.xml

test-php-lab: build
	$(call step,PHPUnit: the lab)
	trap '$(SUDO) tests/lab/lab down' EXIT
	$(SUDO) tests/lab/lab up
	$(SUDO) $(PHPUNIT) --testsuite lab,laravel,codeigniter,recipes
	$(call step,PHPUnit: the lab with TLS$(comma) DNS and a standby cluster)
	$(SUDO) tests/lab/lab up --tls --dns --dr
	$(SUDO) $(PHPUNIT) --testsuite sources

valgrind: install-lab build
	$(call step,the unit suite under valgrind)
	tests/valgrind $(EXTENSION)

install-packaging:
	$(call step,installing what is missing to package)
	tests/lab/install packaging

deb: build | install-packaging
	packaging/deb

dist: build | install-packaging
	packaging/dist

test-packaging: build | install-packaging
	$(call step,packaging: phpize$(comma) archives$(comma) the Debian package)
	packaging/test

test-php84: install-lab
	$(call step,PHP 8.4$(comma) PHPUnit 11$(comma) Laravel 10.48$(comma) Doctrine DBAL 4.2)
	tests/lab/install php84
	tests/php84

test-zts: | install-build
	$(call step,a thread-safe PHP)
	tests/lab/install zts
	tests/zts

clean:
	rm -rf build
	cargo clean
