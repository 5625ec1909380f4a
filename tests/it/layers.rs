//! What each layer may not know, as ARCHITECTURE.md says.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn offenders(folder: &str, words: &[&str]) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, text) in sources(folder) {
        for word in words.iter().filter(|word| text.contains(**word)) {
            offenders.push(format!("{}: {word}", path.display()));
        }
    }
    offenders
}

#[test]
fn the_domain_knows_no_lambda() {
    assert_eq!(offenders("shared/src", &["lambda_http", "lambda_runtime", "aws_lambda_events"]), [""; 0]);
}

#[test]
fn the_domain_alone_holds_database_expressions() {
    for folder in ["functions/src", "local/src"] {
        let words = ["aws_sdk_", "attribute_exists", "attribute_not_exists", "SET "];
        assert_eq!(offenders(folder, &words), [""; 0]);
    }
}

#[test]
fn the_laptop_cloud_knows_no_chat() {
    let words = ["confab", "Confab", "CONFAB", "chat", "Chat", "CHAT", "auth_token", "membership", "last_id"];
    assert_eq!(offenders("local/cloud/src", &words), [""; 0]);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../local/cloud/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(["confab-shared", "confab-functions"].iter().all(|name| !manifest.contains(name)));
}

#[test]
fn every_function_is_in_the_template() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let template = fs::read_to_string(root.join("template.yaml")).unwrap();
    for (name, _) in confab_functions::FUNCTIONS {
        assert!(template.contains(&format!("Handler: {name}\n")), "{name} is not in the template");
    }
}
