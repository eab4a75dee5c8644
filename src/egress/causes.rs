//! What caused an error, for the log of the operator and to find the error that matters among them.
//! Never for a tenant as it is: what a connection failed of is what a port scan asks for.

use std::error::Error;

/// An error and its causes, the outermost first.
pub(crate) fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| link.source())
}

/// The words of an error and its causes, each once: the text of a client's error often stops at "error sending request".
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for said in links(error).map(ToString::to_string) {
        if !words.iter().any(|word| word.contains(&said)) {
            words.push(said);
        }
    }
    words.join(": ")
}
