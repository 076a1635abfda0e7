//! The little of DER (X.690) that certificates are read with beside rustls, which keeps what it reads to itself.

/// Tag and content of the next element (section 8.1). A certificate has no tags of several bytes here, and no lengths of
/// more than three.
pub(crate) fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let [tag, length, behind @ ..] = *rest else { return None };
    let (length, behind) = match usize::from(*length) {
        short @ 0..=0x7F => (short, behind),
        long @ 0x81..=0x83 => {
            let (bytes, behind) = behind.split_at_checked(long - 0x80)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), behind)
        }
        _ => return None,
    };
    let (content, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some((*tag, content))
}
