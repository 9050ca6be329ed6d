//! The v3 API, topic by topic: what is asked, what is answered, and what it does to devices.

mod report;
