//! The document of `--like-aws`.

use std::{collections::BTreeMap, fs, path::Path};

use confab_cloud::LikeAws;
use serde_json::Value;

#[test]
fn the_document_has_every_setting_with_its_value_in_the_preset() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/like-aws.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap();
        (name.to_owned(), rest.split_once(" |").unwrap().0.to_owned())
    });
    let preset = serde_json::to_value(LikeAws::preset()).unwrap();
    let settings = preset.as_object().unwrap().iter().map(|(name, value)| {
        let value = match value {
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            number => number.to_string(),
        };
        (name.clone(), value)
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), settings.collect());
}
