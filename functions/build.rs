//! Reads the routes out of `template.yaml`, the only place that has them, for the `fallback` function.

use std::{env, error::Error, fmt::Write, fs, path::Path};

use saphyr::{LoadableYamlNode, Yaml};

/// Functions that let callers in without a token.
const OPEN: [&str; 2] = ["register", "login"];

fn main() -> Result<(), Box<dyn Error>> {
    let template = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../template.yaml");
    println!("cargo::rerun-if-changed={}", template.display());
    let text = fs::read_to_string(&template)?;
    let documents = Yaml::load_from_str(&text)?;
    let template = documents.first().ok_or("template.yaml is empty")?;
    let mut routes = String::from("const ROUTES: &[Route] = &[\n");
    for (_, resource) in members(get(template, "Resources")) {
        let name = get(get(resource, "Properties"), "Handler").and_then(Yaml::as_str);
        for (_, event) in members(get(get(resource, "Properties"), "Events")) {
            let properties = get(event, "Properties");
            let text = |name| get(properties, name).and_then(Yaml::as_str);
            if let (Some("HttpApi"), Some(method), Some(path)) =
                (get(event, "Type").and_then(Yaml::as_str), text("Method"), text("Path"))
            {
                let open = name.is_some_and(|name| OPEN.contains(&name));
                writeln!(routes, "    Route {{ method: {:?}, path: {path:?}, open: {open} }},", method.to_uppercase())?;
            }
        }
    }
    routes.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("routes.rs"), routes)?;
    Ok(())
}

fn get<'a>(node: impl Into<Option<&'a Yaml<'a>>>, name: &str) -> Option<&'a Yaml<'a>> {
    node.into()?.as_mapping_get(name)
}

fn members<'a>(node: Option<&'a Yaml<'a>>) -> impl Iterator<Item = (&'a Yaml<'a>, &'a Yaml<'a>)> {
    node.and_then(Yaml::as_mapping).into_iter().flatten()
}
