//! Where the access keys of this machine's user are kept.

use std::path::PathBuf;

use confab_cloud::{Keys, StartError};

/// The access keys that all processes of this machine's user share. If they cannot be stored, as in a read-only
/// container, this process uses random keys, unless another process needs them (`are_shared`).
pub(crate) fn keys(are_shared: bool) -> Result<Keys, StartError> {
    let folder = state_folder();
    match Keys::kept_in(&folder) {
        Err(error) if !are_shared => {
            let place = folder.display();
            tracing::warn!(%error, "access keys cannot be kept in {place}, so they are random; --verbose prints them");
            Keys::random().map_err(|error| StartError::Keys(folder, error))
        }
        kept => kept.map_err(|error| StartError::Keys(folder, error)),
    }
}

/// The folder for state that is not data (<https://specifications.freedesktop.org/basedir-spec/latest/>).
fn state_folder() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("CONFAB_STATE") {
        return folder;
    }
    let home = || std::env::home_dir().unwrap_or_default().join(".local/state");
    let common = variable("XDG_STATE_HOME").or_else(|| variable("LOCALAPPDATA").filter(|_| cfg!(windows)));
    common.unwrap_or_else(home).join("confab")
}
