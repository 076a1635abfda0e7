dnl Lets `phpize && ./configure && make && make install`, which is what PIE runs, build the extension with cargo.

PHP_ARG_ENABLE([hadsn],
  [whether to enable hadsn],
  [AS_HELP_STRING([--enable-hadsn], [Build the extension hadsn])],
  [yes])

if test "$PHP_HADSN" != "no"; then
  AC_PATH_PROG([CARGO], [cargo], [no])
  if test "$CARGO" = "no"; then
    AC_MSG_ERROR([cargo is missing: install Rust 1.88 or newer and put cargo into the PATH])
  fi

  dnl The crate stands two folders up in the repository, and beside this file in the source archive.
  AC_MSG_CHECKING([for the crate])
  HADSN_CRATE=`cd -P "$abs_srcdir" && pwd`
  if test ! -f "$HADSN_CRATE/Cargo.toml"; then
    HADSN_CRATE=`cd -P "$abs_srcdir/../.." && pwd`
  fi
  if ! grep -q '^name = "hadsn"$' "$HADSN_CRATE/Cargo.toml" 2>/dev/null; then
    AC_MSG_ERROR([found neither beside config.m4 nor two folders up])
  fi
  AC_MSG_RESULT([$HADSN_CRATE])

  dnl Named only where cargo would find another PHP by itself: a change of these builds everything anew.
  HADSN_ENVIRONMENT=
  hadsn_php=`$PHP_CONFIG --php-binary`
  hadsn_php_config=`command -v "$PHP_CONFIG"`
  if test "`readlink -f "$hadsn_php_config"`" != "`readlink -f "$(command -v php-config)"`" ||
     test "`readlink -f "$hadsn_php"`" != "`readlink -f "$(command -v php)"`"; then
    HADSN_ENVIRONMENT="PHP=$hadsn_php PHP_CONFIG=$hadsn_php_config"
  fi

  dnl `make install` may run as another user, who has no Rust: what is up to date is not built again.
  HADSN_SOURCES=`find "$HADSN_CRATE/src" -name '*.rs' | tr '\n' ' '`
  HADSN_SOURCES="$HADSN_SOURCES $HADSN_CRATE/Cargo.toml $HADSN_CRATE/Cargo.lock $HADSN_CRATE/build.rs"

  PHP_SUBST([CARGO])
  PHP_SUBST([HADSN_CRATE])
  PHP_SUBST([HADSN_ENVIRONMENT])
  PHP_SUBST([HADSN_SOURCES])
  PHP_ADD_MAKEFILE_FRAGMENT([$abs_srcdir/Makefile.frag])
  dnl phpize makes these folders, and complains where there is none.
  PHP_ADD_BUILD_DIR([modules])
  PHP_MODULES="$PHP_MODULES \$(phplibdir)/hadsn.so"
fi
