//! Keywords of libpq, as PDO's libpq will read them: what the source string says, else the environment.

use std::env;
use std::path::PathBuf;

use crate::config::Config;

/// What `keyword` is set to. An empty variable counts as none, as it does in libpq.
pub(super) fn value(config: &Config, keyword: &str) -> Option<String> {
    if let Some((_, value)) = config.libpq.iter().find(|(name, _)| *name == keyword) {
        return Some(value.clone());
    }
    let (_, variable) = VARIABLES.iter().find(|(name, _)| *name == keyword)?;
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// A file that libpq looks for below the home directory.
pub(super) fn at_home(path: &str) -> Option<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(path))
}

/// PostgreSQL manual, 34.15 "Environment Variables".
const VARIABLES: [(&str, &str); 11] = [
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslcrl", "PGSSLCRL"),
    ("require_auth", "PGREQUIREAUTH"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("gssencmode", "PGGSSENCMODE"),
    ("options", "PGOPTIONS"),
];
