//! Ports as `EXPOSE` has them.

use super::ConfigureError;

/// The ports of one argument, as a config lists them: `80` is `80/tcp`, a range is each of its
/// ports. Both ends of a range belong to it.
pub(super) fn exposed(text: &str) -> Result<Vec<String>, ConfigureError> {
    let wrong = || ConfigureError::Port(text.to_owned());
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let port = text.parse::<u16>().ok().filter(|&it| it > 0);
        port.filter(|_| digits).ok_or_else(wrong)
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(wrong());
    }
    Ok((first..=last)
        .map(|it| format!("{it}/{protocol}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_a_protocol_and_a_range_is_each_of_its_ports() {
        assert_eq!(exposed("80").unwrap(), ["80/tcp"]);
        assert_eq!(exposed("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(
            exposed("8000-8002/tcp").unwrap(),
            ["8000/tcp", "8001/tcp", "8002/tcp"]
        );
        assert_eq!(exposed("1-65535").unwrap().len(), 65_535);
        for wrong in ["", "0", "65536", "80:80", "80/http", "9-8", "-", "+1", "a"] {
            assert!(exposed(wrong).is_err(), "{wrong}");
        }
    }
}
