//! What our own calls take and answer, as the OpenAPI document tells it.

mod devices;
mod packages;
mod pushes;

pub(super) use self::devices::{change, register, remove_device, set_accounts, webpush_key};
pub(super) use self::packages::{estimate, package, packages, rejected, remove_package};
pub(super) use self::pushes::{push, pushes_of_device, recipients_csv, recipients_parquet};
