//! PDO as hadsn uses it: making connections, and asking a server what it is.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::ffi::zend_class_entry;
use ext_php_rs::types::{ZendHashTable, ZendObject, Zval};

use super::zend;
use crate::config::Config;

/// What `new PDO()` takes beside the DSN.
pub(super) struct Arguments {
    user: Zval,
    password: Zval,
    options: Zval,
    /// Whether PDO is to keep the connection for other requests (`PDO::ATTR_PERSISTENT`).
    pub(super) is_persistent: bool,
}

impl Arguments {
    /// The caller's, and the configuration's for what the caller leaves out.
    pub(super) fn new(user: Option<&Zval>, password: Option<&Zval>, options: Option<&Zval>, config: &Config) -> Self {
        let given = |value: Option<&Zval>| value.filter(|value| !value.is_null()).map(Zval::shallow_clone);
        let secret = || config.credentials.password.as_ref().map(|password| zend::text(password.reveal()));
        let own_user = || config.credentials.user.as_deref().map(zend::text);
        // The password of the source belongs to the user of the source.
        let (user, password) = match given(user) {
            Some(user) => (user, given(password).unwrap_or_else(zend::null)),
            None => {
                let password = given(password).or_else(secret).unwrap_or_else(zend::null);
                (own_user().unwrap_or_else(zend::null), password)
            }
        };
        let mut merged = ZendHashTable::new();
        let mut is_persistent = false;
        if let Some(options) = options.and_then(Zval::array) {
            for (key, value) in options {
                // PDO looks at numeric keys only.
                if let ext_php_rs::types::ArrayKey::Long(key) = key {
                    is_persistent |= key == ATTR_PERSISTENT && is_true(value);
                    let _ = merged.insert_at_index(key, value.shallow_clone());
                }
            }
        }
        if merged.get_index(ATTR_TIMEOUT).is_none() {
            let seconds = config.timing.connect_timeout.as_millis().div_ceil(1000);
            let _ = merged.insert_at_index(ATTR_TIMEOUT, i64::try_from(seconds).unwrap_or(i64::MAX));
        }
        Self { user, password, options: zend::array(merged), is_persistent }
    }

    /// User and password.
    pub(super) fn credentials(&self) -> (Option<String>, Option<String>) {
        (self.user.string(), self.password.string())
    }

    /// With the DSN in front: the arguments of the constructor.
    pub(super) fn with(&self, dsn: &str) -> [Zval; 4] {
        [zend::text(dsn), self.user.shallow_clone(), self.password.shallow_clone(), self.options.shallow_clone()]
    }
}

/// A way to make a connection to a DSN. What `make` made is used through `object`.
pub(super) trait Maker {
    /// Connects. What was made before is let go first: PDO frees a kept connection that died whoever holds it.
    ///
    /// # Errors
    ///
    /// The exception that PDO threw; none, if what is pending must stay so (`exit` in a signal handler).
    fn make(&mut self, dsn: &str) -> Result<(), Option<ZBox<ZendObject>>>;

    /// What was connected last.
    fn object(&self) -> Option<&ZendObject>;

    /// The user and the password that it connects with.
    fn credentials(&self) -> (Option<String>, Option<String>);
}

/// Makes a new object for each connection.
pub(super) struct Fresh<'a> {
    class: *mut zend_class_entry,
    arguments: &'a Arguments,
    /// The last one that connected.
    pub(super) made: Zval,
    /// Where to.
    pub(super) dsn: String,
}

impl<'a> Fresh<'a> {
    /// One that makes plain PDO objects, if PDO is there.
    pub(super) fn new(arguments: &'a Arguments) -> Option<Self> {
        Some(Self { class: zend::class_named("pdo")?, arguments, made: zend::null(), dsn: String::new() })
    }
}

impl Maker for Fresh<'_> {
    fn make(&mut self, dsn: &str) -> Result<(), Option<ZBox<ZendObject>>> {
        self.made = zend::null();
        let mut place = zend::null();
        if zend::make_object_of(&mut place, self.class)
            && let Some(object) = place.object()
        {
            construct(object, self.class, dsn, self.arguments);
        }
        zend::outcome()?;
        self.made = place;
        dsn.clone_into(&mut self.dsn);
        Ok(())
    }

    fn object(&self) -> Option<&ZendObject> {
        self.made.object()
    }

    fn credentials(&self) -> (Option<String>, Option<String>) {
        self.arguments.credentials()
    }
}

/// Runs PDO's constructor on `object`. It may throw.
pub(super) fn construct(object: &ZendObject, pdo: *mut zend_class_entry, dsn: &str, arguments: &Arguments) {
    // SAFETY: PDO's class entry lives as long as the process.
    let constructor = unsafe { (*pdo).constructor };
    let mut values = arguments.with(dsn);
    zend::call(constructor, Some(object), pdo, &mut values);
}

/// Runs a query that gives one row, on PDO's own methods, whatever the class overrides.
///
/// # Errors
///
/// The exception that PDO threw; none, if the options keep it from throwing.
pub(super) fn row(object: &ZendObject, sql: &str) -> Result<ZBox<ZendHashTable>, Option<ZBox<ZendObject>>> {
    let Some(pdo) = zend::class_named("pdo") else { return Err(None) };
    let failed = |_: &Zval| zend::outcome().err().flatten();
    let Some(query) = zend::method(pdo, "query") else { return Err(None) };
    let statement = zend::call(query, Some(object), pdo, &mut [zend::text(sql), zend::int(FETCH_NUM)]);
    let Some(statement_object) = statement.object() else { return Err(failed(&statement)) };
    let class = zend::class_named("pdostatement");
    let Some((class, fetch)) = class.and_then(|class| Some((class, zend::method(class, "fetch")?))) else {
        return Err(None);
    };
    let row = zend::call(fetch, Some(statement_object), class, &mut [zend::int(FETCH_NUM)]);
    match row.array() {
        Some(row) => Ok(row.to_owned()),
        None => Err(failed(&row)),
    }
}

/// What a column says that PDO gives as a boolean, a number or a text, depending on its options.
pub(super) fn is_true(value: &Zval) -> bool {
    value.bool().unwrap_or_else(|| match (value.long(), value.str()) {
        (Some(number), _) => number != 0,
        (None, Some(text)) => !matches!(text, "" | "0" | "f" | "false"),
        (None, None) => false,
    })
}

// ext/pdo/php_pdo_driver.h.
const ATTR_TIMEOUT: i64 = 2;
const ATTR_PERSISTENT: i64 = 12;
const FETCH_NUM: u64 = 3;
