//! Peak memory of this process, for the results.

/// Peak resident memory in bytes (`VmHWM`), or `None` where the system does not tell (it is Linux that does).
pub fn peak_resident_bytes() -> Option<u64> {
    parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_not_the_current_size() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  123 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(parse_peak(status), Some(123 * 1024));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn grows_with_what_is_touched() {
        let before = peak_resident_bytes().unwrap_or(0);
        let block = vec![1u8; 256 << 20];
        assert!(std::hint::black_box(&block).iter().step_by(4096).all(|&byte| byte == 1));
        assert!(peak_resident_bytes().unwrap_or(0) >= before.max(256 << 20));
    }
}
