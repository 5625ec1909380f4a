//! The AWS access keys of the laptop cloud.
//!
//! Each user of the machine has one random secret, and the secret access key of every access key id is derived from it.
//! So another process of the same user knows valid keys, and each function has its own key id, which is its name.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use rustack_auth::{AuthError, CredentialProvider, sigv4::compute_signature};

use super::private_file::make_private;

/// The access key id for clients that are not functions.
pub(crate) const CLIENT: &str = "local";

const FILE: &str = "laptop-cloud-secret";
const SECRET_BYTES: usize = 32;

/// The secret that access keys are derived from.
#[derive(Clone)]
pub struct Keys(Arc<[u8; SECRET_BYTES]>);

impl Keys {
    /// Keys for this process only.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(Arc::new(secret)))
    }

    /// The keys that are stored in this folder. Creates them if there are none.
    ///
    /// # Errors
    /// When the file cannot be read or created, or holds something else.
    pub fn kept_in(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                make_private(&path)?;
                Self::parse(&text)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keys = Self::random()?;
                fs::create_dir_all(folder)?;
                // Only its owner may read it, and it appears with its whole content or not at all.
                let mut file = tempfile::NamedTempFile::new_in(folder)?;
                file.write_all(hex::encode(*keys.0).as_bytes())?;
                match file.persist_noclobber(&path) {
                    Ok(_) => Ok(keys),
                    // Another process was faster; its keys are used.
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                        Self::parse(&fs::read_to_string(&path)?)
                    }
                    Err(error) => Err(error.error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> io::Result<Self> {
        let mut secret = [0; SECRET_BYTES];
        let decoded = hex::decode_to_slice(text.trim(), &mut secret);
        decoded.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it does not hold a secret"))?;
        Ok(Self(Arc::new(secret)))
    }

    /// The secret access key of an access key id.
    pub(crate) fn secret(&self, access_key_id: &str) -> String {
        compute_signature(&*self.0, access_key_id).expect("HMAC takes keys of any length")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys(…)")
    }
}

/// The access keys that requests may be signed with: those of clients and functions.
#[derive(Clone)]
pub(crate) struct KnownKeys {
    keys: Keys,
    ids: Arc<BTreeSet<String>>,
}

impl KnownKeys {
    /// The keys of clients and of these functions.
    pub(crate) fn new(keys: Keys, functions: impl IntoIterator<Item = String>) -> Self {
        let ids = functions.into_iter().chain([CLIENT.to_owned()]).collect();
        Self { keys, ids: Arc::new(ids) }
    }

    /// Whether this id is known.
    pub(crate) fn knows(&self, access_key_id: &str) -> bool {
        self.ids.contains(access_key_id)
    }
}

impl CredentialProvider for KnownKeys {
    fn get_secret_key(&self, access_key_id: &str) -> Result<String, AuthError> {
        Ok(self.keys.secret(access_key_id))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_differ_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state/cloud");
        let first = Keys::kept_in(&state).unwrap();
        let second = Keys::kept_in(&state).unwrap();
        assert_eq!(first.secret("a"), second.secret("a"));
        assert_ne!(first.secret("a"), first.secret("b"));
        assert_ne!(first.secret("a"), Keys::random().unwrap().secret("a"));
        fs::write(state.join(FILE), "something else").unwrap();
        assert!(Keys::kept_in(&state).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_secret_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        Keys::kept_in(folder.path()).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Keys::kept_in(folder.path()).unwrap();
        assert_eq!(mode(), 0o600);
    }
}
