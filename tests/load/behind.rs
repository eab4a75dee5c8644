//! Which pod a Service chose for a connection, as the kernel's table of connections has it. For failures only: the table is long.
//! It must never be asked for a connection that went well, nor take a guess for an answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// The kernel's table, of this process's own network.
const TABLE: &str = "/proc/net/nf_conntrack";

/// Questions in one run: each reads the whole table.
const QUESTIONS_MAX: u32 = 2000;

static ASKED: AtomicU32 = AtomicU32::new(0);

/// The address of the pod behind a connection from this local address. `None` when it is not known.
pub fn pod(local: SocketAddr) -> Option<String> {
    if ASKED.fetch_add(1, Ordering::Relaxed) >= QUESTIONS_MAX {
        return None;
    }
    found(&std::fs::read_to_string(TABLE).ok()?, local.port())
}

/// A line has the connection as it was asked for, then as answers come: there `src` is the pod.
fn found(table: &str, port: u16) -> Option<String> {
    let asked_from = format!(" sport={port} ");
    table.lines().filter(|line| line.contains(" tcp ")).find_map(|line| {
        let (asked, answered) = split(line)?;
        let (service, pod) = (value(asked, "dst=")?, value(answered, "src=")?);
        (asked.contains(&asked_from) && service != pod).then(|| pod.to_owned())
    })
}

fn split(line: &str) -> Option<(&str, &str)> {
    let second = line.match_indices(" src=").nth(1)?.0;
    Some(line.split_at(second))
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_whitespace().find_map(|word| word.strip_prefix(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
ipv4     2 tcp      6 9 CLOSE src=10.88.0.1 dst=10.96.7.7 sport=4711 dport=80 src=10.88.0.9 dst=10.88.0.1 sport=8410 dport=4711 mark=0 use=2
ipv4     2 udp      17 9 src=10.88.0.1 dst=10.96.7.7 sport=4712 dport=53 src=10.88.0.8 dst=10.88.0.1 sport=53 dport=4712 mark=0 use=2
ipv4     2 tcp      6 9 ESTABLISHED src=10.88.0.1 dst=10.88.0.5 sport=4713 dport=80 src=10.88.0.5 dst=10.88.0.1 sport=80 dport=4713 use=2
";

    #[test]
    fn the_pod_is_the_one_from_which_answers_come() {
        assert_eq!(found(LINES, 4711).as_deref(), Some("10.88.0.9"));
        assert_eq!(found(LINES, 4712), None, "not a connection of TCP");
        assert_eq!(found(LINES, 4713), None, "no Service stood between");
        assert_eq!(found(LINES, 471), None);
    }
}
