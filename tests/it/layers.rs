//! The layers: which modules may depend on which, and what each crate may not know (ARCHITECTURE.md).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use syn::{
    Attribute, Expr, ExprMethodCall, File, ImplItemFn, Item, ItemImpl, ItemMod, ItemUse, Type, UseTree, Visibility,
    visit::{self, Visit},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
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

/// The path of a module within its crate; empty for the crate's root.
type Module = Vec<String>;

/// The modules of a crate and the paths that each of them names, without those of its tests.
struct Modules {
    files: BTreeMap<Module, File>,
    /// What a name that a module re-exports stands for.
    reexports: BTreeMap<Vec<String>, Vec<String>>,
}

/// What is named in a module.
#[derive(Default)]
struct Names {
    paths: Vec<Vec<String>>,
    /// Methods of `Confab`, to which every module of the domain adds some.
    defined: Vec<String>,
    /// Methods of `Confab` that are called.
    called: Vec<String>,
    /// Whether this is within an `impl Confab`.
    is_confab: bool,
}

fn is_confab(name: &Type) -> bool {
    matches!(name, Type::Path(path) if path.path.is_ident("Confab"))
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        flatten(&item.tree, Vec::new(), &mut self.paths);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let before = self.is_confab;
        self.is_confab = item.trait_.is_none() && is_confab(&item.self_ty);
        visit::visit_item_impl(self, item);
        self.is_confab = before;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if self.is_confab {
            self.defined.push(function.sig.ident.to_string());
        }
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if let Expr::Path(receiver) = &*call.receiver
            && (receiver.path.is_ident("confab") || self.is_confab && receiver.path.is_ident("self"))
        {
            self.called.push(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A single name is local, or a `use` has brought it.
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

fn flatten(tree: &UseTree, mut prefix: Vec<String>, paths: &mut Vec<Vec<String>>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, paths);
        }
        UseTree::Name(name) if name.ident == "self" => paths.push(prefix),
        UseTree::Name(name) => paths.push([prefix, vec![name.ident.to_string()]].concat()),
        UseTree::Rename(rename) => paths.push([prefix, vec![rename.ident.to_string()]].concat()),
        UseTree::Glob(_) => paths.push(prefix),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), paths)),
    }
}

impl Modules {
    fn read(folder: &str) -> Self {
        let source = root().join(folder);
        let module = |path: &Path| -> Module {
            let path = path.strip_prefix(&source).unwrap().with_extension("");
            let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
            names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
        };
        let files = sources(folder).into_iter().map(|(path, text)| (module(&path), syn::parse_file(&text).unwrap()));
        let mut modules = Self { files: files.collect(), reexports: BTreeMap::new() };
        for (module, file) in &modules.files {
            for item in &file.items {
                if let Item::Use(item) = item
                    && !matches!(item.vis, Visibility::Inherited)
                {
                    let mut paths = Vec::new();
                    flatten(&item.tree, Vec::new(), &mut paths);
                    for path in paths {
                        let name = [module.clone(), vec![path.last().unwrap().clone()]].concat();
                        modules.reexports.insert(name, modules.absolute(module, &path));
                    }
                }
            }
        }
        modules
    }

    /// A path that is named in a module, from the crate's root; of another crate's it is empty.
    fn absolute(&self, module: &Module, path: &[String]) -> Vec<String> {
        let (mut base, mut rest) = (module.clone(), path);
        match path.first().map(String::as_str) {
            Some("crate") => (base, rest) = (Vec::new(), &path[1..]),
            Some("self") => rest = &path[1..],
            Some("super") => {
                while let Some(("super", behind)) = rest.split_first().map(|(first, behind)| (first.as_str(), behind)) {
                    base.pop();
                    rest = behind;
                }
            }
            // A child of this module, or else a name that a `use` has brought or that another crate has.
            Some(first) if self.files.contains_key(&[base.clone(), vec![first.to_owned()]].concat()) => {}
            _ => return Vec::new(),
        }
        [base, rest.to_vec()].concat()
    }

    /// The module in which the last name of a path is.
    fn module_of(&self, path: &[String]) -> Module {
        let mut module = Module::new();
        for name in path {
            module.push(name.clone());
            if let Some(target) = self.reexports.get(&module) {
                return self.module_of(target);
            }
            if !self.files.contains_key(&module) {
                module.pop();
                break;
            }
        }
        module
    }

    /// Each module with another one that it depends on: by a path, a re-export or a call of a method of `Confab`.
    fn dependencies(&self) -> BTreeSet<(Module, Module)> {
        let named: BTreeMap<&Module, Names> = self
            .files
            .iter()
            .map(|(module, file)| {
                let mut names = Names::default();
                names.visit_file(file);
                (module, names)
            })
            .collect();
        let defined: BTreeMap<&str, &Module> = named
            .iter()
            .flat_map(|(module, names)| names.defined.iter().map(|name| (name.as_str(), *module)))
            .collect();
        let mut dependencies = BTreeSet::new();
        for (module, names) in named.iter().filter(|(module, _)| !module.is_empty()) {
            let paths = names.paths.iter().map(|path| self.absolute(module, path)).filter(|path| !path.is_empty());
            dependencies.extend(paths.map(|path| ((*module).clone(), self.module_of(&path))));
            let called = names.called.iter().filter_map(|name| defined.get(name.as_str()));
            dependencies.extend(called.map(|callee| ((*module).clone(), (*callee).clone())));
        }
        dependencies.retain(|(module, dependency)| module != dependency && !dependency.is_empty());
        dependencies
    }

    /// The names of the root's modules in the order in which it declares them.
    fn order(&self) -> Vec<String> {
        let declared = self.files[&Module::new()].items.iter().filter_map(|item| match item {
            Item::Mod(item) => Some(item.ident.to_string()),
            _ => None,
        });
        declared.collect()
    }
}

#[test]
fn no_module_depends_on_itself_by_way_of_others() {
    for folder in ["shared/src", "functions/src", "local/cloud/src", "local/src"] {
        let modules = Modules::read(folder);
        let dependencies = modules.dependencies();
        assert!(!dependencies.is_empty());
        let names: Vec<(String, String)> =
            dependencies.iter().map(|(from, to)| (from.join("::"), to.join("::"))).collect();
        let graph = DiGraphMap::<&str, ()>::from_edges(names.iter().map(|(from, to)| (from.as_str(), to.as_str())));
        let cycles: Vec<_> = tarjan_scc(&graph).into_iter().filter(|modules| modules.len() > 1).collect();
        assert!(cycles.is_empty(), "{folder}: {cycles:?}");
    }
}

#[test]
fn each_layer_of_the_domain_uses_only_those_above_it() {
    let modules = Modules::read("shared/src");
    let order = modules.order();
    let place = |module: &Module| order.iter().position(|name| *name == module[0]).unwrap();
    let dependencies = modules.dependencies();
    let upward: Vec<_> = dependencies.iter().filter(|(module, dependency)| place(module) < place(dependency)).collect();
    assert!(upward.is_empty(), "lib.rs declares the modules in the order of the layers, but: {upward:#?}");
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
    let manifest = fs::read_to_string(root().join("local/cloud/Cargo.toml")).unwrap();
    assert!(["confab-shared", "confab-functions"].iter().all(|name| !manifest.contains(name)));
}

#[test]
fn every_function_is_in_the_template() {
    let template = fs::read_to_string(root().join("template.yaml")).unwrap();
    for (name, _) in confab_functions::FUNCTIONS {
        assert!(template.contains(&format!("Handler: {name}\n")), "{name} is not in the template");
    }
}

/// The template names partitions in policies and in the filters of event sources.
#[test]
fn every_partition_of_the_template_is_one_of_the_domains() {
    let template = fs::read_to_string(root().join("template.yaml")).unwrap();
    let named: BTreeSet<&str> = template
        .split('"')
        .map(|text| text.strip_suffix('*').unwrap_or(text))
        .filter(|text| text.ends_with('#') && text.trim_end_matches('#').bytes().all(|byte| byte.is_ascii_uppercase()))
        // The prefix of a sort key.
        .filter(|text| *text != "MEMBER#")
        .collect();
    let known: BTreeSet<&str> = confab_shared::key::Partition::ALL.iter().map(|partition| partition.prefix()).collect();
    assert!(!named.is_empty());
    assert_eq!(named, known);
}
