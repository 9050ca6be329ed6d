//! Clients: generated from the description in two languages, each does a customer's work, in the words of its story.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use pigeonloft_testkit::program::{json_in, path_of, python, require, run};
use pigeonloft_testkit::{Fleet, pigeonloft};

/// Has a client upload a package of ann and bob, push to it and count who has it. `client` makes it in a folder where the
/// description is, and runs its story with URL, AccessId and SecretKey; it answers what that printed.
fn works(client: impl FnOnce(&Path, [&str; 3]) -> String) {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, ["ann", "bob"].map(|name| app.register_device(Some(name))));
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "openapi.json", &app.own_text("/openapi.json"));
    let said = json_in(&client(folder.path(), [&server.url(""), &app.access_id.to_string(), &app.secret_key]));
    assert_eq!(said["arrived"], 2, "{said}");
    let push_id = said["push_id"].as_str().expect("a push_id");
    for phone in &phones {
        assert_eq!(phone.of_push(push_id).1, 1);
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("it can be written");
}

#[test]
fn a_generated_python_client_uploads_pushes_and_reads_the_statistics() {
    works(|folder, caller| {
        write(folder, "python.yml", include_str!("python.yml"));
        write(folder, "story.py", include_str!("story.py"));
        let mut generator = python("openapi_python_client");
        generator.args(["-m", "openapi_python_client", "generate", "--path", "openapi.json", "--config", "python.yml"]);
        // Whatever of the description it does not understand is a failure.
        generator.args(["--meta", "none", "--output-path", "loft_client", "--fail-on-warning"]);
        run(generator.current_dir(folder));
        run(python("httpx").arg("story.py").args(caller).current_dir(folder))
    });
}

#[test]
fn a_generated_typescript_client_uploads_pushes_and_reads_the_statistics() {
    works(|folder, caller| {
        write(folder, "package.json", include_str!("package.json"));
        write(folder, "tsconfig.json", include_str!("tsconfig.json"));
        write(folder, "story.ts", include_str!("story.ts"));
        // node_modules/.bin/tsc
        let modules = path_of("tsc").ancestors().nth(2).expect("its folder").to_owned();
        symlink(modules, folder.join("node_modules")).expect("a link can be made");
        run(require("openapi-typescript").args(["openapi.json", "--output", "loft.d.ts"]).current_dir(folder));
        // Compiled as strictly as it can be: the types are what is tested.
        run(require("tsc").args(["--project", "."]).current_dir(folder));
        run(require("node").arg("story.js").args(caller).current_dir(folder))
    });
}
