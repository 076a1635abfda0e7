//! Texts for libpq, parsed back by libpq itself.

#![allow(unsafe_code, reason = "libpq is a C library")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

use hadsn::address::Host;
use hadsn::config::Config;
use hadsn::dsn::{self, Purpose};
use hadsn::route::Route;
use proptest::prelude::*;

/// PQconninfoOption (libpq-fe.h).
#[repr(C)]
struct ConninfoOption {
    keyword: *const c_char,
    envvar: *const c_char,
    compiled: *const c_char,
    val: *const c_char,
    label: *const c_char,
    dispchar: *const c_char,
    dispsize: c_int,
}

type Parse = unsafe extern "C" fn(*const c_char, *mut *mut c_char) -> *mut ConninfoOption;
type Free = unsafe extern "C" fn(*mut ConninfoOption);

/// What libpq reads in a text (PostgreSQL manual, 34.1, PQconninfoParse).
fn parsed(text: &str) -> HashMap<String, String> {
    let text = CString::new(text).unwrap();
    // SAFETY: the library stays loaded, and the functions have the types that libpq-fe.h declares; every pointer that is
    // read was given by libpq and is read before it is freed.
    unsafe {
        let library = libc::dlopen(c"libpq.so.5".as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null(), "libpq.so.5 is not installed: on Debian it is in the package libpq5");
        let parse: Parse = std::mem::transmute(symbol(library, c"PQconninfoParse"));
        let free: Free = std::mem::transmute(symbol(library, c"PQconninfoFree"));
        let mut error = std::ptr::null_mut();
        let options = parse(text.as_ptr(), &raw mut error);
        assert!(!options.is_null(), "libpq refuses {text:?}: {:?}", CStr::from_ptr(error));
        let mut found = HashMap::new();
        let mut next = options;
        while !(*next).keyword.is_null() {
            if !(*next).val.is_null() {
                let text = |pointer| CStr::from_ptr(pointer).to_str().unwrap().to_owned();
                found.insert(text((*next).keyword), text((*next).val));
            }
            next = next.add(1);
        }
        free(options);
        found
    }
}

/// SAFETY: `library` is one that dlopen(3) has returned.
unsafe fn symbol(library: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: see above; the name is a C string.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!symbol.is_null(), "libpq has no {name:?}");
    symbol
}

/// As it stands in a source URL.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Texts with everything that could break out of a value.
fn awkward() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("\\'".to_owned()),
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\t".to_owned()),
        Just("=".to_owned()),
        Just(";".to_owned()),
        Just("\"".to_owned()),
        Just("%".to_owned()),
        Just(" host=evil ".to_owned()),
        Just("' host='evil".to_owned()),
        Just("postgresql://evil/".to_owned()),
        "[a-zA-Z0-9_.äß€]{1,8}",
        any::<char>().prop_filter("a C string holds no NUL", |c| *c != '\0').prop_map(String::from),
    ];
    prop::collection::vec(pieces, 1..8).prop_map(|pieces| pieces.concat())
}

fn config(database: &str, user: &str, password: &str, application: &str, options: &str) -> Config {
    Config::parse(&format!(
        "patroni://{}:{}@10.0.0.1/{}?application_name={}&options={}&sslmode=disable",
        encoded(user),
        encoded(password),
        encoded(database),
        encoded(application),
        encoded(options)
    ))
    .unwrap()
}

fn route() -> Route {
    Route { host: Host::parse("db1").unwrap(), address: Some("10.0.0.1".parse().unwrap()), port: 6432 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn libpq_reads_in_a_conninfo_string_what_was_written(
        [database, user, password, application, options] in prop::array::uniform5(awkward()),
    ) {
        let config = config(&database, &user, &password, &application, &options);
        let found = parsed(&dsn::conninfo(&route(), &config, Purpose::Write));
        let expected = [
            ("host", "db1"), ("hostaddr", "10.0.0.1"), ("port", "6432"), ("dbname", &database), ("user", &user),
            ("password", &password), ("application_name", &application), ("options", &options), ("sslmode", "disable"),
            ("target_session_attrs", "read-write"), ("connect_timeout", "3"), ("tcp_user_timeout", "5000"),
            ("keepalives_idle", "10"), ("keepalives_interval", "3"), ("keepalives_count", "3"),
        ];
        let expected: HashMap<_, _> = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn libpq_reads_in_a_pdo_dsn_what_was_written_or_it_is_refused(
        [database, application, options] in prop::array::uniform3(awkward()),
    ) {
        let config = config(&database, "u", "p", &application, &options);
        match dsn::pdo(&route(), &config, Purpose::Read, None) {
            Err(error) => {
                assert!([&database, &application, &options].into_iter().any(|value| value.contains(';')), "{error}");
            }
            Ok(dsn) => {
                // PDO turns every ; into a space (ext/pdo_pgsql/pgsql_driver.c), and appends its timeout.
                let text = dsn.strip_prefix("pgsql:").unwrap().replace(';', " ") + " connect_timeout=30";
                let found = parsed(&text);
                for (key, value) in [("dbname", &database), ("application_name", &application), ("options", &options)] {
                    assert_eq!(found.get(key), Some(value), "{dsn}");
                }
                assert_eq!(found.get("host").map(String::as_str), Some("db1"));
                assert!(!found.contains_key("user") && !found.contains_key("password"));
            }
        }
    }
}
