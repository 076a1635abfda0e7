//! What one request knows: its clusters, and the DSN strings that it hands out again and again.
//!
//! Clusters outlive the request in the process; which name means which cluster does not, so nothing
//! of one site reaches another site of the same worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ext_php_rs::ffi::zend_string;
use ext_php_rs::types::ZendStr;
use ext_php_rs::zend::BailoutGuard;
use parking_lot::Mutex;

use super::settings::{self, DEFAULT_CLUSTER};
use super::zend;
use crate::cluster::{Answer, Cluster};
use crate::config::{Config, check_cluster_name};
use crate::discovery::probe::Login;
use crate::error::Error;
use crate::sys::clock::{self, Coarse};

/// Which of the two strings of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

/// The DSN that was handed out before, if it still holds: with a reference for the caller.
#[inline]
pub(super) fn hot(name: &[u8], role: Role) -> Option<NonNull<zend_string>> {
    let find = |request: &ManuallyDrop<RefCell<Request>>| {
        let request = request.try_borrow().ok()?;
        let used = request.used.iter().find(|used| used.name.as_bytes() == name)?;
        let handout = match role {
            Role::Writer => &used.writer,
            Role::Reader => &used.reader,
        };
        handout.get(&used.cluster)
    };
    // Called outside a handler that catches panics: nothing here may.
    REQUEST.try_with(find).ok().flatten()
}

/// The cluster `name` of this request: what `configure()` said, else what the environment, a file or
/// php.ini said at its first use in the request.
pub(super) fn cluster(name: &str) -> Result<Arc<Cluster>, Error> {
    let known = REQUEST.with(|request| {
        let request = request.borrow();
        request.used.iter().find(|used| used.name == name).map(|used| Arc::clone(&used.cluster))
    });
    if let Some(cluster) = known {
        return Ok(cluster);
    }
    check_cluster_name(name)?;
    let found = settings::find(name)?;
    let cluster = cluster_of(&found.text).map_err(|e| e.from_origin(&found.origin))?;
    remember(name, Arc::clone(&cluster));
    Ok(cluster)
}

/// `HaDsn::configure()`: for the rest of this request, `name` means `text`.
pub(super) fn configure(text: &str, name: &str) -> Result<(), Error> {
    check_cluster_name(name)?;
    remember(name, cluster_of(text)?);
    Ok(())
}

/// Keeps the strings made of an answer, for [`hot`].
pub(super) fn keep(name: &str, cluster: &Arc<Cluster>, role: Role, answer: &Answer, strings: &[String]) {
    let handout = Handout::new(strings, answer);
    REQUEST.with(|request| {
        let request = &mut *request.borrow_mut();
        let Some(used) = request.used.iter_mut().find(|used| used.name == name) else { return };
        // A signal handler may have configured another one meanwhile.
        if !Arc::ptr_eq(&used.cluster, cluster) {
            return;
        }
        match role {
            Role::Writer => used.writer = handout,
            Role::Reader => used.reader = handout,
        }
    });
}

/// Who `connect()` has logged in as in this request.
pub(super) fn login(cluster: &Arc<Cluster>) -> Option<Login> {
    REQUEST.with(|request| {
        let request = request.borrow();
        request.used.iter().filter(|used| Arc::ptr_eq(&used.cluster, cluster)).find_map(|used| used.login.clone())
    })
}

/// Remembers for the rest of the request who may ask the servers of a cluster what they are: who has logged in, and rather one who
/// writes.
pub(super) fn log_in(cluster: &Arc<Cluster>, login: Option<&Login>, role: Role) {
    REQUEST.with(|request| {
        let request = &mut *request.borrow_mut();
        for used in request.used.iter_mut().filter(|used| Arc::ptr_eq(&used.cluster, cluster)) {
            if used.login.is_none() || role == Role::Writer {
                used.login = login.cloned().or(used.login.take());
            }
        }
    });
}

/// The names of the clusters used so far.
pub(super) fn used_names() -> Vec<String> {
    REQUEST.with(|request| request.borrow().used.iter().map(|used| used.name.clone()).collect())
}

/// The clusters used so far.
pub(super) fn used_clusters() -> Vec<Arc<Cluster>> {
    REQUEST.with(|request| request.borrow().used.iter().map(|used| Arc::clone(&used.cluster)).collect())
}

/// Begins a request with nothing of the last one, should a fatal error have kept its end from running: its
/// strings are in memory that is gone.
pub(super) fn begin() {
    for used in REQUEST.with(|request| std::mem::take(&mut request.borrow_mut().used)) {
        std::mem::forget((used.writer.strings, used.reader.strings));
    }
}

/// Forgets everything that belongs to the request.
pub(super) fn end() {
    // Dropped outside the borrow: releasing strings calls into Zend.
    let used = REQUEST.with(|request| std::mem::take(&mut request.borrow_mut().used));
    drop(used);
}

#[derive(Default)]
struct Request {
    /// `default` first, if it is there: it is what most calls ask for.
    used: Vec<Used>,
}

struct Used {
    name: String,
    cluster: Arc<Cluster>,
    writer: Handout,
    reader: Handout,
    login: Option<Login>,
}

/// Strings to hand out, and until when.
#[derive(Default)]
struct Handout {
    strings: Vec<Shared>,
    epoch: u64,
    made_at: Option<Coarse>,
    /// Nanoseconds.
    valid_for: u64,
}

impl Handout {
    fn new(strings: &[String], answer: &Answer) -> Self {
        let mut made = BailoutGuard::new(Vec::with_capacity(strings.len()));
        for text in strings {
            made.get_mut().extend(Shared::new(text));
        }
        Self {
            strings: made.into_inner(),
            epoch: answer.epoch,
            made_at: Some(Coarse::now()),
            valid_for: u64::try_from(answer.valid_for.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    #[inline]
    fn get(&self, cluster: &Cluster) -> Option<NonNull<zend_string>> {
        let holds = self.epoch == cluster.epoch() && self.made_at?.is_within(self.valid_for);
        if !holds {
            return None;
        }
        match self.strings.as_slice() {
            [only] => Some(only.reference()),
            several => several.get(cluster.pick(several.len())).map(Shared::reference),
        }
    }
}

/// One reference to a string of the request.
struct Shared(NonNull<zend_string>);

impl Shared {
    fn new(text: &str) -> Option<Self> {
        NonNull::new(ZendStr::new(text, false).into_raw()).map(Self)
    }

    /// Another reference, for PHP.
    #[inline]
    fn reference(&self) -> NonNull<zend_string> {
        // SAFETY: the string is alive, ours, and counted by this thread alone; it is not interned.
        unsafe { (*self.0.as_ptr()).gc.refcount += 1 };
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: gives back the reference that `new` made, within the request.
        unsafe { ext_php_rs::ffi::ext_php_rs_zend_string_release(self.0.as_ptr()) };
    }
}

fn remember(name: &str, cluster: Arc<Cluster>) {
    let (writer, reader) = (Handout::default(), Handout::default());
    let used = Used { name: name.to_owned(), cluster, writer, reader, login: None };
    let replaced = REQUEST.with(|request| {
        let request = &mut *request.borrow_mut();
        match request.used.iter_mut().find(|used| used.name == name) {
            Some(place) => return Some(std::mem::replace(place, used)),
            None if name == DEFAULT_CLUSTER => request.used.insert(0, used),
            None => request.used.push(used),
        }
        None
    });
    drop(replaced);
}

/// The cluster of a source string: the process's, if it has had one of the same text.
fn cluster_of(text: &str) -> Result<Arc<Cluster>, Error> {
    let now = clock::boottime();
    let mut clusters = CLUSTERS.lock();
    if let Some(kept) = clusters.get_mut(text) {
        kept.used_at = now;
        return Ok(Arc::clone(&kept.cluster));
    }
    let cluster = Arc::new(Cluster::new(Config::parse(text)?, default_failover_timeout()));
    if clusters.len() >= MAX_CLUSTERS {
        let oldest = clusters.iter().min_by_key(|(_, kept)| kept.used_at).map(|(text, _)| text.clone());
        if let Some(oldest) = oldest {
            clusters.remove(&oldest);
        }
    }
    clusters.insert(text.to_owned(), Kept { cluster: Arc::clone(&cluster), used_at: now });
    Ok(cluster)
}

/// A command may wait for the leader; a web request has a visitor.
fn default_failover_timeout() -> Duration {
    match zend::sapi_name() {
        b"cli" | b"phpdbg" => Duration::from_secs(60),
        _ => Duration::from_secs(10),
    }
}

thread_local! {
    // Emptied by end(); never dropped with the thread, when the memory of its strings is gone.
    static REQUEST: ManuallyDrop<RefCell<Request>> =
        const { ManuallyDrop::new(RefCell::new(Request { used: Vec::new() })) };
}

/// The clusters of the process, by their whole source string: two sites share one only if they know
/// the same secrets.
static CLUSTERS: LazyLock<Mutex<HashMap<String, Kept>>> = LazyLock::new(Mutex::default);

/// A cluster of the process, and when it was asked for last.
struct Kept {
    cluster: Arc<Cluster>,
    used_at: Duration,
}

/// A worker that serves many tenants must not grow with them.
const MAX_CLUSTERS: usize = 256;
