//! Frames: as many lines as one WebSocket message holds.

use crate::Error;

/// The most bytes of a frame: below 32 KB, which API Gateway meters as one message and sends as one frame. It closes a
/// socket with 1009 for a larger one
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html>).
pub(crate) const FRAME_BYTES: usize = 32 * 1024 - 1;

/// Joins lines into as few frames as hold them. A line that fits no frame, as the event of an imported message may be,
/// is left out: its clients see a hole in the log.
pub(crate) fn frames<'a, T: AsRef<str> + 'a>(lines: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    frames_with_ends(lines).into_iter().map(|(frame, _)| frame).collect()
}

/// The same frames, each with the number of lines up to its end.
pub(super) fn frames_with_ends<'a, T: AsRef<str> + 'a>(lines: impl IntoIterator<Item = &'a T>) -> Vec<(String, usize)> {
    let mut frames: Vec<(String, usize)> = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let line = line.as_ref();
        if line.len() > FRAME_BYTES {
            Error::internal(format!("a line of {} bytes fits no frame and is left out", line.len())).log();
            continue;
        }
        match frames.last_mut() {
            Some((frame, end)) if frame.len() + 1 + line.len() <= FRAME_BYTES => {
                frame.push('\n');
                frame.push_str(line);
                *end = index + 1;
            }
            _ => frames.push((line.to_owned(), index + 1)),
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_keep_every_line_in_order(sizes in proptest::collection::vec(prop_oneof![1..20_000_usize, FRAME_BYTES - 2..FRAME_BYTES + 3], 0..40)) {
            let mut lines: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let with_ends = frames_with_ends(&lines);
            for (n, (_, end)) in with_ends.iter().enumerate() {
                let first: Vec<String> = with_ends[..=n].iter().map(|(frame, _)| frame.clone()).collect();
                prop_assert_eq!(frames(&lines[..*end]), first);
            }
            let frames = frames(&lines);
            lines.retain(|line| line.len() <= FRAME_BYTES);
            let unpacked: Vec<&str> = frames.iter().flat_map(|frame| frame.split('\n')).collect();
            prop_assert_eq!(unpacked, lines);
            prop_assert!(frames.iter().all(|frame| frame.len() <= FRAME_BYTES));
            prop_assert!(frames.windows(2).all(|pair| pair[0].len() + 1 + pair[1].len() > FRAME_BYTES || pair[1].contains('\n')));
        }
    }
}
