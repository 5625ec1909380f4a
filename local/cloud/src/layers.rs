//! Checks that modules depend only on those below them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The modules from the lowest to the highest.
const LAYERS: [&str; 12] = [
    "shutdown",
    "template",
    "error",
    "description",
    "server",
    "access",
    "lambda",
    "services",
    "sources",
    "gateway",
    "options",
    "cloud",
];

fn files(path: PathBuf) -> Vec<PathBuf> {
    match fs::read_dir(&path) {
        Ok(entries) => entries.flat_map(|entry| files(entry.expect("a folder is readable").path())).collect(),
        Err(_) => vec![path],
    }
}

/// Whether a text has `crate::{module}`, alone or in a list of imports.
fn uses(text: &str, module: &str) -> bool {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let imports = text.split("use crate::{").skip(1).filter_map(|rest| rest.split(';').next());
    let mut names = imports.flat_map(|list| list.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    text.contains(&format!("crate::{module}::")) || names.any(|name| name == module)
}

#[test]
fn modules_depend_only_on_lower_ones() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, name) in LAYERS.iter().enumerate() {
        let folder = sources.join(name);
        let module = if folder.is_dir() { folder } else { folder.with_extension("rs") };
        for file in files(module) {
            let text = fs::read_to_string(&file).expect("a source is readable");
            for higher in &LAYERS[layer + 1..] {
                assert!(!uses(&text, higher), "{} uses {higher}", file.display());
            }
        }
    }
}
