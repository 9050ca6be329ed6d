//! `pigeonloft package upload`: uploads a file as any client of the API does.

use std::fs::File;
use std::path::PathBuf;

use clap::Args;
use pigeonloft_model::AccessId;

use crate::cli::client::Client;
use crate::cli::credentials::{self, SecretKey};
use crate::cli::failure::{Failure, say};
use crate::cli::progress;

/// Upload an audience file and print its uploadId
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
        pigeonloft package upload audience.csv --url http://127.0.0.1:8080 --access-id 1500001048 \
        --secret-key-file key.txt")]
pub(in crate::cli) struct Upload {
    /// The file: .txt or .csv with one account or token per row, or one of them in a .zip; at most 100 MB
    file: PathBuf,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = url)]
    url: String,
    /// The app
    #[arg(long, value_name = "N", value_parser = credentials::access_id)]
    access_id: AccessId,
    #[command(flatten)]
    secret_key: SecretKey,
}

fn url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("a URL begins with http:// or https://".to_owned()),
    }
}

impl Upload {
    pub(super) fn run(self) -> Result<(), Failure> {
        let shown = self.file.display();
        let secret_key = self.secret_key.read()?.ok_or_else(|| {
            Failure::new("no SecretKey is given").hint("give it with --secret-key-file FILE, or --secret-key")
        })?;
        let cannot_read = |error| Failure::of(format_args!("cannot read {shown}"), &error);
        let file = File::open(&self.file).map_err(cannot_read)?;
        let about = file.metadata().map_err(cannot_read)?;
        if !about.is_file() {
            return Err(Failure::new(format!("{shown} is not a file")));
        }
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let bar = progress::of_bytes(about.len(), "uploading");
        let client = Client::new(&self.url, self.access_id, &secret_key);
        let uploaded = client.upload(&name, about.len(), bar.wrap_read(file));
        bar.finish_and_clear();
        say(uploaded?)
    }
}
