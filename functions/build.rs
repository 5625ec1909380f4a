//! Reads the routes of the HTTP API from `template.yaml`, the single source of truth for routing, for the `fallback`
//! function.

use std::{env, error::Error, fmt::Write, fs, path::Path};

use saphyr::{LoadableYamlNode, Yaml};

fn main() -> Result<(), Box<dyn Error>> {
    let template = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../template.yaml");
    println!("cargo::rerun-if-changed={}", template.display());
    let text = fs::read_to_string(&template)?;
    let documents = Yaml::load_from_str(&text)?;
    let template = documents.first().ok_or("template.yaml is empty")?;
    let mut routes = String::from("const ROUTES: &[Route] = &[\n");
    for (_, resource) in members(get(template, "Resources")) {
        let function = get(get(resource, "Properties"), "Handler").and_then(Yaml::as_str);
        for (_, event) in members(get(get(resource, "Properties"), "Events")) {
            let properties = get(event, "Properties");
            let text = |name| get(properties, name).and_then(Yaml::as_str);
            if let (Some("HttpApi"), Some(function), Some(method), Some(path)) =
                (get(event, "Type").and_then(Yaml::as_str), function, text("Method"), text("Path"))
            {
                let method = method.to_uppercase();
                writeln!(routes, "    Route {{ method: {method:?}, path: {path:?}, function: {function:?} }},")?;
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
