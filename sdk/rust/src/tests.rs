//! The frame reader and what stands on it, on frames written here as a host writes them.
use crate::abi::*;
use crate::{exp32, hash64, log32, max32, min32, raw, Frame, Observation, Random, Status};

/// Bytes at a multiple of 64.
#[repr(C, align(64))]
struct Bytes([u8; 8192]);

const CAPACITY: u32 = 80;
const COLUMN: u32 = 1024;

fn header() -> FrameHeader {
    FrameHeader {
        magic: FRAME_MAGIC,
        abi_version: ABI_VERSION,
        frame_bytes: 8192,
        kind: 0,
        row_capacity: CAPACITY,
        row_count: 70,
        columns_offset: 256,
        columns_count: 128,
        request_offset: 768,
        output_offset: 1408,
        eligibility_offset: 2304,
        hits_offset: 2368,
        hits_capacity: 4,
        scratch_offset: 2432,
        scratch_bytes: CAPACITY * 16,
        config_offset: 3712,
        config_slots: 16,
        state_offset: 3776,
        state_bytes: 64,
        state_epoch: 5,
        table_epoch: 1,
        log_offset: 3840,
        log_bytes: 64,
        outcomes_offset: 3904,
        outcomes_capacity: 2,
        links_offset: 0,
        links_count: 0,
        plan_request_offset: 0,
        plan_output_offset: 0,
        plan_ranks_capacity: 0,
        mesh_seed: 0,
        reserved: [0; 128],
    }
}

/// A frame with every row eligible and column `load` counting down.
fn frame(header: FrameHeader) -> Box<Bytes> {
    let mut bytes = Box::new(Bytes([0; 8192]));
    let at = bytes.0.as_mut_ptr();
    // The header goes where every frame begins; the box is aligned for it.
    #[allow(unsafe_code)]
    unsafe {
        (at as *mut FrameHeader).write(header)
    };
    let mut word = |offset: usize, value: u32| bytes.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    word(256 + 4 * COLUMN_LOAD as usize, COLUMN);
    for row in 0..70 {
        word(COLUMN as usize + 4 * row, ((70 - row) as f32).to_bits());
    }
    word(2304, u32::MAX);
    word(2308, u32::MAX);
    word(2312, 0x3f);
    bytes
}

fn decide(bytes: &mut Bytes, hook: impl FnOnce(&mut Frame) -> Status) -> i32 {
    #[allow(unsafe_code)]
    unsafe {
        raw::decide(bytes.0.as_mut_ptr(), hook)
    }
}

fn init(bytes: &mut Bytes) -> i32 {
    #[allow(unsafe_code)]
    unsafe {
        raw::init(bytes.0.as_mut_ptr())
    }
}

fn by_load(frame: &mut Frame) -> Status {
    let load = frame.rows.column_f32(COLUMN_LOAD);
    let cost = frame.scratch(0);
    cost.copy_from_slice(load);
    frame.mask_costs(cost);
    let count = frame.select_lowest(cost, 3);
    frame.answer.route(count)
}

#[test]
fn a_frame_is_read_and_answered() {
    let mut bytes = frame(header());
    assert_eq!(init(&mut bytes), STATUS_OK);
    let status = decide(&mut bytes, |frame| {
        assert_eq!((frame.rows.capacity, frame.rows.count, frame.state.epoch), (80, 70, 5));
        assert_eq!(frame.rows.column_f32(COLUMN_LOAD).len(), 80);
        assert!(frame.rows.column_f32(COLUMN_WEIGHT).is_empty(), "not declared");
        assert!(frame.rows.column_u32(4000).is_empty(), "no such id");
        assert_eq!(frame.rows.eligible().count(), 70);
        assert_eq!(frame.rows.nth_eligible(69), Some(69));
        assert_eq!(frame.rows.nth_eligible(70), None);
        by_load(frame)
    });
    assert_eq!(status, STATUS_OK);
    decide(&mut bytes, |frame| {
        assert_eq!(frame.answer.output.rows[..3], [69, 68, 67]);
        assert_eq!(frame.answer.output.scores[..3], [1.0, 2.0, 3.0]);
        assert!(frame.scratch(0).len() == 80 && frame.scratch(0).is_empty(), "handed out once");
        Status::Ok
    });
}

#[test]
fn rows_that_are_not_eligible_or_have_no_finite_cost_are_left_out() {
    let mut bytes = frame(header());
    bytes.0[2304..2316].fill(0);
    assert_eq!(decide(&mut bytes, by_load), STATUS_DECLINE);
    bytes.0[2304] = 0b1011;
    bytes.0[COLUMN as usize..COLUMN as usize + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(decide(&mut bytes, by_load), STATUS_OK);
    decide(&mut bytes, |frame| {
        assert_eq!((frame.answer.output.count, &frame.answer.output.rows[..2]), (2, &[3, 1][..]));
        Status::Ok
    });
}

#[test]
fn rows_of_equal_cost_are_drawn_by_the_seed() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64u8 {
        let mut bytes = frame(header());
        bytes.0[COLUMN as usize..COLUMN as usize + 320].fill(0);
        bytes.0[768 + 8] = seed;
        decide(&mut bytes, by_load);
        decide(&mut bytes, |frame| {
            seen.insert(frame.answer.output.rows[0]);
            Status::Ok
        });
    }
    assert!(seen.len() > 30, "{} different rows", seen.len());
}

#[test]
fn a_header_that_is_no_frame_is_refused() {
    let with = |change: &dyn Fn(&mut FrameHeader)| {
        let mut bad = header();
        change(&mut bad);
        init(&mut frame(bad))
    };
    assert_eq!(with(&|_| ()), STATUS_OK);
    let changes: [&dyn Fn(&mut FrameHeader); 14] = [
        &|header| header.magic = 0,
        &|header| header.abi_version += 1 << 16,
        &|header| header.row_capacity = 79,
        &|header| header.row_count = 81,
        &|header| header.row_capacity = 0xffff_fff0,
        &|header| header.scratch_bytes = 16,
        &|header| header.frame_bytes = 1000,
        &|header| header.output_offset = 8000,
        &|header| header.output_offset = 1409,
        &|header| header.output_offset = 768,
        &|header| header.state_offset = header.scratch_offset,
        &|header| header.log_offset = COLUMN,
        &|header| header.hits_capacity = u32::MAX,
        &|header| header.scratch_offset = 0xffff_fff0,
    ];
    for (index, change) in changes.iter().enumerate() {
        assert_eq!(with(change), STATUS_ERROR, "change {}", index);
    }
    #[allow(unsafe_code)]
    unsafe {
        assert_eq!(raw::init(core::ptr::null_mut()), STATUS_ERROR);
        assert_eq!(raw::init(frame(header()).0.as_mut_ptr().add(4)), STATUS_ERROR);
    }
}

#[test]
fn counts_of_a_request_are_cut_to_what_there_is_room_for() {
    let mut bytes = frame(header());
    bytes.0[768 + 108..768 + 112].fill(0xff);
    decide(&mut bytes, |frame| {
        assert_eq!(frame.rows.request.hit_count, u32::MAX);
        assert_eq!(frame.rows.hits.len(), 4);
        Status::Ok
    });
}

#[test]
fn the_state_block_and_the_log_have_ends() {
    let mut bytes = frame(header());
    let hook = |seen: &mut Observation| {
        assert_eq!(seen.outcomes.len(), 2, "no more than there is room for");
        seen.state.put_f32(15, 1.5);
        seen.state.put_u32(16, 7);
        assert_eq!(seen.state.u32(16), 0);
        for _ in 0..20 {
            seen.log.f32(-12.3456);
        }
        Status::Ok
    };
    #[allow(unsafe_code)]
    let status = unsafe { raw::observe(bytes.0.as_mut_ptr(), 9, hook) };
    assert_eq!(status, STATUS_OK);
    assert_eq!(&bytes.0[3840..3854], b"-12.346-12.346");
    decide(&mut bytes, |frame| {
        assert_eq!(frame.state.f32(15), 1.5);
        assert_eq!(frame.answer.output.log_bytes, 64);
        Status::Ok
    });
}

/// What the last call left in the log.
fn logged(bytes: &Bytes) -> String {
    let used = u32::from_le_bytes(bytes.0[LOG_USED..LOG_USED + 4].try_into().unwrap()) as usize;
    String::from_utf8(bytes.0[3840..3840 + used].to_vec()).unwrap()
}

/// Where the output says how much of the log is used.
const LOG_USED: usize = 1408 + 44;

#[test]
fn a_panic_is_the_status_error_and_its_words_are_logged() {
    let mut bytes = frame(header());
    assert_eq!(init(&mut bytes), STATUS_OK);
    let status = decide(&mut bytes, |frame| {
        frame.log.text("before; ");
        frame.answer.put_ranked(16, 0, 0.0);
        Status::Ok
    });
    assert_eq!(status, STATUS_ERROR);
    let text = logged(&bytes);
    assert!(text.starts_with("before; panicked at "), "{}", text);
    assert_eq!(text.len(), 64, "as much as the log has room for");
    assert_eq!(decide(&mut bytes, by_load), STATUS_OK, "the next decision is made");
    assert_eq!(logged(&bytes), "", "and logs nothing of the last");
}

/// Panics again when it is dropped.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("and again");
    }
}

#[test]
fn nothing_crosses_the_border() {
    let mut bytes = frame(header());
    assert_eq!(init(&mut bytes), STATUS_OK);
    assert_eq!(decide(&mut bytes, |_| std::panic::panic_any(Spiteful)), STATUS_ERROR);
    // A header that `init` would have refused, and no `init`: slices of scratch beyond what there is.
    let mut bad = frame(FrameHeader { scratch_offset: 8000, ..header() });
    assert_eq!(decide(&mut bad, by_load), STATUS_ERROR);
    #[allow(unsafe_code)]
    let observed = unsafe { raw::observe(bytes.0.as_mut_ptr(), 1, |_| panic!("no more")) };
    assert_eq!(observed, STATUS_ERROR);
    assert!(logged(&bytes).contains("no more"), "{}", logged(&bytes));
}

#[test]
fn exp_and_log_are_as_close_as_they_say() {
    for step in -870..=880 {
        let x = step as f32 / 10.0;
        let error = (f64::from(exp32(x)) / f64::from(x).exp() - 1.0).abs();
        assert!(error < 1.5e-7, "exp {} {:e}", x, error);
    }
    for step in 1..2000 {
        let x = step as f32 * 0.37;
        let exact = f64::from(x).ln();
        assert!((f64::from(log32(x)) - exact).abs() < 1.5e-7 * exact.abs().max(0.4), "log {}", x);
    }
    assert_eq!((exp32(-1e9), exp32(1e9)), (exp32(-87.0), exp32(88.0)));
    assert!(log32(-1.0) < -87.3 && exp32(f32::NAN).is_nan() && log32(f32::NAN).is_nan());
}

#[test]
fn min_and_max_are_those_of_webassembly() {
    assert!(min32(f32::NAN, 1.0).is_nan() && max32(1.0, f32::NAN).is_nan());
    assert!(min32(0.0, -0.0).is_sign_negative() && max32(-0.0, 0.0).is_sign_positive());
    assert_eq!((min32(2.0, 1.0), max32(2.0, 1.0)), (1.0, 2.0));
}

#[test]
fn hashes_and_draws_are_as_published() {
    // xxHash32 of the eight bytes, by another implementation.
    assert_eq!(hash64(0x0123_4567_89ab_cdef, 0), 0x10ae_029b);
    assert_eq!(hash64(0x0123_4567_89ab_cdef, 77), 0xbef9_4150);
    let mut one = Random::new(0x0123_4567_89ab_cdef);
    let mut same = Random::new(0x0123_4567_89ab_cdef);
    assert!((0..100).all(|_| one.next_u32() == same.next_u32()));
    assert!((0..1000).all(|_| one.below(7) < 7 && (0.0..1.0).contains(&one.float())));
}
