//! The enums `HaDsn\\Phase` and `HaDsn\\Verdict`, and what a Throwable says to `HaDsn::verdict()`.

use ext_php_rs::error::Result;
use ext_php_rs::types::{ZendObject, Zval};
use ext_php_rs::zend::{BailoutGuard, ClassEntry};

use super::zend::{self, Case, Class};
use crate::address::Endpoint;
use crate::verdict::{Fault, Phase, Report, Verdict, server_named_in};

/// The class of a phase.
pub(super) static PHASE: Class = Class::new();
/// The class of a verdict.
pub(super) static VERDICT: Class = Class::new();

const PHASES: [(Case, Phase); 5] = [
    (Case { name: "Connect", value: "connect" }, Phase::Connect),
    (Case { name: "InTransaction", value: "in_transaction" }, Phase::InTransaction),
    (Case { name: "Commit", value: "commit" }, Phase::Commit),
    (Case { name: "Autocommit", value: "autocommit" }, Phase::Autocommit),
    (Case { name: "Unknown", value: "unknown" }, Phase::Unknown),
];

const VERDICTS: [(Case, Verdict); 3] = [
    (Case { name: "Retry", value: "retry" }, Verdict::Retry),
    (Case { name: "InDoubt", value: "in_doubt" }, Verdict::InDoubt),
    (Case { name: "Unrelated", value: "unrelated" }, Verdict::Unrelated),
];

/// Registers both enums.
pub(super) fn register() -> Result<()> {
    zend::register_enum(&PHASE, c"HaDsn\\Phase", &PHASES.map(|(case, _)| case))?;
    zend::register_enum(&VERDICT, c"HaDsn\\Verdict", &VERDICTS.map(|(case, _)| case))
}

/// The phase that an object of the enum stands for.
pub(super) fn phase(case: &ZendObject) -> Phase {
    let value = zend::property(PHASE.entry(), case, "value");
    let value = value.str().unwrap_or_default();
    PHASES.iter().find(|(case, _)| case.value == value).map_or(Phase::Unknown, |(_, phase)| *phase)
}

/// Puts the case of a verdict in `place`.
pub(super) fn set_verdict(place: &mut Zval, verdict: Verdict) {
    if let Some((case, _)) = VERDICTS.iter().find(|(_, of_case)| *of_case == verdict) {
        zend::set_case(place, &VERDICT, case.name);
    }
}

/// What an exception and those before it come to.
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// Whether it speaks against what is known of the cluster.
    pub(super) is_suspicious: bool,
    /// The server that could not be connected to, if libpq has named it.
    pub(super) server: Option<Endpoint>,
}

impl Finding {
    fn new(verdict: Verdict, is_suspicious: bool) -> Self {
        Self { verdict, is_suspicious, server: None }
    }
}

/// Reads `error` and its previous ones. If one of them comes from PDO, only those that do count: the
/// message of a framework's exception may hold the text of a statement. The worst one decides.
pub(super) fn judge(error: &ZendObject, phase: Phase) -> Finding {
    let mut chain = BailoutGuard::new(Vec::new());
    let mut next = Some(error);
    while let Some(link) = next.filter(|_| chain.get().len() < MAX_LINKS) {
        chain.get_mut().push(Link::read(link));
        next = zend::object_property(base_class(link), link, "previous");
    }
    let chain = chain.get();
    let has_driver = chain.iter().any(|link| link.origin == Origin::Pdo);
    let mut finding = Finding::new(Verdict::Unrelated, false);
    // A loss that came later than an exception of hadsn's is not explained by it.
    let mut is_lost = false;
    for link in chain {
        match link.origin {
            Origin::NoServer | Origin::Configuration if is_lost => {}
            // Nothing was connected to, so nothing was done: what is around it only passes that on.
            Origin::NoServer => finding = Finding::new(Verdict::Retry, true),
            Origin::Configuration => finding = Finding::new(Verdict::Unrelated, false),
            // Whatever the phase: it was COMMIT then.
            Origin::CommitUnknown => finding = Finding::new(Verdict::InDoubt, true),
            Origin::Other if has_driver => {}
            Origin::Pdo | Origin::Other => {
                let fault = link.fault();
                let verdict = fault.judge(phase);
                is_lost |= fault == Fault::Lost;
                finding.is_suspicious |= fault.is_suspicious() && verdict != Verdict::Unrelated;
                finding.verdict = finding.verdict.max(verdict);
                if matches!(fault, Fault::Refused | Fault::NotConnected | Fault::NotAccepting) {
                    finding.server = finding.server.or_else(|| server_named_in(&link.message));
                }
            }
        }
    }
    finding
}

/// What a PDOException says of the connection; nothing, if it is another exception.
pub(super) fn fault(error: &ZendObject) -> Option<Fault> {
    let link = BailoutGuard::new(Link::read(error));
    (link.origin == Origin::Pdo).then(|| link.fault())
}

/// Whether trying to connect again can help.
pub(super) fn may_pass(error: &ZendObject) -> bool {
    fault(error).is_some_and(Fault::may_pass)
}

/// One exception of a chain.
struct Link {
    origin: Origin,
    sqlstate: Option<String>,
    driver_code: Option<i64>,
    message: String,
}

#[derive(PartialEq, Eq)]
enum Origin {
    /// A PDOException or a subclass.
    Pdo,
    /// hadsn found no server.
    NoServer,
    /// hadsn was asked for something impossible.
    Configuration,
    /// The PHP package reports a COMMIT without an answer.
    CommitUnknown,
    Other,
}

impl Link {
    fn read(error: &ZendObject) -> Self {
        let base = base_class(error);
        let message = zend::property(base, error, "message").string().unwrap_or_default();
        let mut link = Self { origin: origin(error), sqlstate: None, driver_code: None, message };
        if link.origin != Origin::Pdo {
            return link;
        }
        let info = zend::property(base, error, "errorInfo");
        if let Some(info) = info.array() {
            link.sqlstate = info.get_index(0).and_then(Zval::string);
            link.driver_code = info.get_index(1).and_then(Zval::long);
            if let Some(message) = info.get_index(2).and_then(Zval::string) {
                link.message = message;
            }
        }
        if link.sqlstate.is_none() {
            // A number is PDO's own code, not an SQLSTATE.
            link.sqlstate = zend::property(base, error, "code").string().filter(|code| code.len() == 5);
        }
        link
    }

    fn fault(&self) -> Fault {
        Fault::read(&Report {
            sqlstate: self.sqlstate.as_deref(),
            driver_code: self.driver_code,
            message: &self.message,
        })
    }
}

fn origin(error: &ZendObject) -> Origin {
    let mut class = Some(error.get_class_entry());
    while let Some(one) = class {
        match one.name() {
            Some("PDOException") => return Origin::Pdo,
            Some(r"HaDsn\NoLeaderException" | r"HaDsn\NoReplicaException" | r"HaDsn\DiscoveryException") => {
                return Origin::NoServer;
            }
            Some(r"HaDsn\ConfigException") => return Origin::Configuration,
            Some(r"HaDsn\CommitUnknownException") => return Origin::CommitUnknown,
            _ => class = one.parent(),
        }
    }
    Origin::Other
}

/// The class that declares the private properties of a Throwable.
fn base_class(error: &ZendObject) -> *mut ClassEntry {
    let is_error = error.instance_of(ext_php_rs::zend::ce::error());
    let class = if is_error { ext_php_rs::zend::ce::error() } else { ext_php_rs::zend::ce::exception() };
    std::ptr::from_ref(class).cast_mut()
}

/// A chain longer than this is a loop, or as good as one.
const MAX_LINKS: usize = 32;
