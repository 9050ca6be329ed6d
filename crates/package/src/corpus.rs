//! Corpus: upload cases.
