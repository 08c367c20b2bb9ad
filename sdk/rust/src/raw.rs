//! The unsafe code that reads memory of the host's: from the address of a frame to slices and references, once a call.
//!
//! Why it is sound: the host owns the frame and touches it only between calls, so nothing changes under a reference; every type in it is made of integers
//! and floats, for which all bits are valid; each section is checked to be aligned and inside the frame whenever it is borrowed. That the sections a
//! strategy writes (output, scratch, log, state, plan) overlap nothing, so that no mutable borrow has a twin, is checked in `init`: the host calls it once
//! for each frame, before any other hook, never changes the header's offsets after it, and makes no decision with an instance whose `init` fails.
use crate::abi::*;
use crate::{Answer, Frame, Log, Observation, PlanFrame, Random, Rows, State, StateView, Status};
#[cfg(not(target_arch = "wasm32"))]
use crate::panics;
use core::mem::{align_of, size_of};
use core::slice;

/// A frame whose header has been checked.
#[derive(Clone, Copy)]
struct Checked<'a> {
    base: *mut u8,
    header: &'a FrameHeader,
}

/// Bytes from `offset` on.
#[derive(Clone, Copy)]
struct Section {
    offset: usize,
    bytes: usize,
}

impl Section {
    fn of<T>(offset: u32, count: u32) -> Section {
        // In usize of 32 bits a hostile product must not wrap: what is too large fails the bound of the frame.
        let bytes = (count as usize).checked_mul(size_of::<T>()).unwrap_or(usize::MAX);
        Section { offset: offset as usize, bytes }
    }

    fn inside(self, frame_bytes: u32, align: usize) -> bool {
        let end = self.offset.checked_add(self.bytes);
        self.bytes == 0 || (self.offset % align == 0 && end.map_or(false, |end| end <= frame_bytes as usize))
    }

    fn meets(self, other: Section) -> bool {
        self.bytes > 0
            && other.bytes > 0
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// The sections of a frame: those a strategy writes first.
struct Sections {
    written: [Section; 4],
    read: [Section; 8],
}

fn sections(header: &FrameHeader) -> Sections {
    let one = |offset: u32| u32::from(offset != 0);
    Sections {
        written: [
            Section::of::<Output>(header.output_offset, one(header.output_offset)),
            Section::of::<u8>(header.scratch_offset, header.scratch_bytes),
            Section::of::<u8>(header.log_offset, header.log_bytes),
            Section::of::<u8>(header.state_offset, header.state_bytes),
        ],
        read: [
            Section { offset: 0, bytes: size_of::<FrameHeader>() },
            Section::of::<u32>(header.columns_offset, header.columns_count),
            Section::of::<Request>(header.request_offset, one(header.request_offset)),
            Section::of::<u32>(header.eligibility_offset, words(header.row_capacity)),
            Section::of::<PrefixHit>(header.hits_offset, header.hits_capacity),
            Section::of::<u32>(header.config_offset, header.config_slots),
            Section::of::<Outcome>(header.outcomes_offset, header.outcomes_capacity),
            Section::of::<LinkLevel>(header.links_offset, header.links_count),
        ],
    }
}

/// Words of a bitmap of `rows` rows.
fn words(rows: u32) -> u32 {
    rows / 32 + u32::from(rows % 32 != 0)
}

fn is_known(header: &FrameHeader) -> bool {
    header.magic == FRAME_MAGIC && header.abi_version >> 16 == ABI_MAJOR
}

/// Whether sizes fit each other, every section is inside the frame, and those that are written overlap nothing.
fn is_sound(frame: Checked<'_>) -> bool {
    let header = frame.header;
    let rows = header.row_capacity;
    if rows % 16 != 0 || header.row_count > rows || header.scratch_bytes / SCRATCH_BYTES_PER_ROW < rows {
        return false;
    }
    let Sections { written, read } = sections(header);
    let inside = |section: &Section| section.inside(header.frame_bytes, 16);
    if !written.iter().all(inside) || !read.iter().all(inside) {
        return false;
    }
    let table: &[u32] = frame.slice(header.columns_offset, header.columns_count);
    let columns = table.iter().filter(|offset| **offset != 0).map(|offset| Section::of::<u32>(*offset, rows));
    written.iter().enumerate().all(|(index, one)| {
        !read.iter().any(|other| one.meets(*other))
            && !written[index + 1..].iter().any(|other| one.meets(*other))
            && !columns.clone().any(|column| !inside(&column) || one.meets(column))
    })
}

/// Whether a frame was given that this library can read.
///
/// # Safety
/// `frame` is null, or points to a frame the host wrote, which nothing else touches for `'a`.
unsafe fn check<'a>(frame: *mut u8) -> Option<Checked<'a>> {
    if frame.is_null() || frame as usize % align_of::<FrameHeader>() != 0 {
        return None;
    }
    // Safety: not null, aligned, and by contract the start of a frame, which begins with its header.
    let header = unsafe { &*(frame as *const FrameHeader) };
    is_known(header).then(|| Checked { base: frame, header })
}

impl<'a> Checked<'a> {
    /// `count` values at `offset`; none where the section does not exist or is not inside the frame.
    #[inline(always)]
    fn slice<T>(self, offset: u32, count: u32) -> &'a [T] {
        let section = Section::of::<T>(offset, count);
        if section.bytes == 0 || !section.inside(self.header.frame_bytes, align_of::<T>()) {
            return &[];
        }
        // Safety: inside the frame and aligned, checked above; no written section overlaps one that is read (init).
        unsafe { slice::from_raw_parts(self.base.add(section.offset) as *const T, count as usize) }
    }

    /// The same for a section the strategy writes.
    ///
    /// # Safety
    /// Called once for a section in one call of a hook.
    unsafe fn slice_mut<T>(self, offset: u32, count: u32) -> &'a mut [T] {
        let section = Section::of::<T>(offset, count);
        if section.bytes == 0 || !section.inside(self.header.frame_bytes, align_of::<T>()) {
            return &mut [];
        }
        // Safety: as above, and by contract nothing else borrows it.
        unsafe { slice::from_raw_parts_mut(self.base.add(section.offset) as *mut T, count as usize) }
    }
}

/// A frame that slices of columns can be asked of.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    frame: Checked<'a>,
    /// Where each begins; 0 where there is none.
    table: &'a [u32],
}

impl<'a> Columns<'a> {
    fn of(frame: Checked<'a>) -> Columns<'a> {
        Columns { frame, table: frame.slice(frame.header.columns_offset, frame.header.columns_count) }
    }

    #[inline(always)]
    pub(crate) fn f32(self, id: u32) -> &'a [f32] {
        self.column(id)
    }

    #[inline(always)]
    pub(crate) fn u32(self, id: u32) -> &'a [u32] {
        self.column(id)
    }

    #[inline(always)]
    fn column<T>(self, id: u32) -> &'a [T] {
        match self.table.get(id as usize) {
            None | Some(0) => &[],
            Some(offset) => self.frame.slice(*offset, self.frame.header.row_capacity),
        }
    }
}

static NO_REQUEST: Request = unsafe { core::mem::transmute([0u8; REQUEST_BYTES]) };

fn rows(frame: Checked<'_>) -> Rows<'_> {
    let header = frame.header;
    let request = frame.slice::<Request>(header.request_offset, 1).first().unwrap_or(&NO_REQUEST);
    let hits = frame.slice::<PrefixHit>(header.hits_offset, header.hits_capacity);
    Rows {
        capacity: header.row_capacity as usize,
        count: header.row_count as usize,
        header,
        request,
        eligibility: frame.slice(header.eligibility_offset, words(header.row_capacity)),
        hits: &hits[..hits.len().min(request.hit_count as usize)],
        config: frame.slice(header.config_offset, header.config_slots),
        columns: Columns::of(frame),
    }
}

/// Runs `hook` on a frame of requests: rank and admit.
///
/// # Safety
/// As `check`.
pub unsafe fn decide(frame: *mut u8, hook: impl FnOnce(&mut Frame<'_>) -> Status) -> i32 {
    // Safety: passed on.
    border(|| unsafe { decide_on(frame, hook) })
}

unsafe fn decide_on(frame: *mut u8, hook: impl FnOnce(&mut Frame<'_>) -> Status) -> i32 {
    // Safety: passed on.
    let checked = match unsafe { check(frame) } {
        Some(checked) => checked,
        None => return STATUS_ERROR,
    };
    let header = checked.header;
    let rows = rows(checked);
    // Safety: each written section is borrowed here once, and `init` saw that they do not overlap.
    let (output, scratch, log) = unsafe {
        (
            checked.slice_mut::<Output>(header.output_offset, 1).first_mut(),
            checked.slice_mut::<f32>(header.scratch_offset, header.row_capacity * 4),
            checked.slice_mut::<u8>(header.log_offset, header.log_bytes),
        )
    };
    let output = match output {
        Some(output) => output,
        None => return STATUS_ERROR,
    };
    let (first, rest) = scratch.split_at_mut(rows.capacity);
    let (second, rest) = rest.split_at_mut(rows.capacity);
    let (third, minima) = rest.split_at_mut(rows.capacity);
    let mut answer = Frame {
        rows,
        state: StateView {
            epoch: header.state_epoch,
            slots: checked.slice(header.state_offset, header.state_bytes / 4),
        },
        random: Random::new(rows.request.seed),
        answer: Answer { output },
        log: Log { text: log, used: 0 },
        scratch: [first, second, third],
        minima,
    };
    let status = caught(|| hook(&mut answer));
    if status.is_err() {
        write_panic(&mut answer.log);
    }
    answer.answer.output.log_bytes = answer.log.used;
    status.map_or(STATUS_ERROR, Status::code)
}

/// Runs `hook` where the state block is written: observe and tick.
///
/// # Safety
/// As `check`.
pub unsafe fn observe(frame: *mut u8, count: i32, hook: impl FnOnce(&mut Observation<'_>) -> Status) -> i32 {
    // Safety: passed on.
    border(|| unsafe { observe_on(frame, count, hook) })
}

unsafe fn observe_on(frame: *mut u8, count: i32, hook: impl FnOnce(&mut Observation<'_>) -> Status) -> i32 {
    // Safety: passed on.
    let checked = match unsafe { check(frame) } {
        Some(checked) => checked,
        None => return STATUS_ERROR,
    };
    let header = checked.header;
    let outcomes = checked.slice::<Outcome>(header.outcomes_offset, header.outcomes_capacity);
    // Safety: each written section is borrowed here once, and `init` saw that they do not overlap.
    let (output, slots, log) = unsafe {
        (
            checked.slice_mut::<Output>(header.output_offset, 1).first_mut(),
            checked.slice_mut::<u32>(header.state_offset, header.state_bytes / 4),
            checked.slice_mut::<u8>(header.log_offset, header.log_bytes),
        )
    };
    let rows = rows(checked);
    let mut seen = Observation {
        rows,
        outcomes: &outcomes[..outcomes.len().min(count.max(0) as usize)],
        state: State { epoch: header.state_epoch, slots },
        random: Random::new(rows.request.seed),
        log: Log { text: log, used: 0 },
    };
    let status = caught(|| hook(&mut seen));
    if status.is_err() {
        write_panic(&mut seen.log);
    }
    if let Some(output) = output {
        output.log_bytes = seen.log.used;
    }
    status.map_or(STATUS_ERROR, Status::code)
}

/// Runs `hook` on a job to lay out.
///
/// # Safety
/// As `check`.
pub unsafe fn plan(frame: *mut u8, hook: impl FnOnce(&mut PlanFrame<'_>) -> Status) -> i32 {
    // Safety: passed on.
    border(|| unsafe { plan_on(frame, hook) })
}

unsafe fn plan_on(frame: *mut u8, hook: impl FnOnce(&mut PlanFrame<'_>) -> Status) -> i32 {
    // Safety: passed on.
    let checked = match unsafe { check(frame) } {
        Some(checked) => checked,
        None => return STATUS_ERROR,
    };
    let header = checked.header;
    let request = match checked.slice::<PlanRequest>(header.plan_request_offset, 1).first() {
        Some(request) => request,
        None => return STATUS_ERROR,
    };
    let ranks_offset = match header.plan_output_offset.checked_add(PLAN_OUTPUT_BYTES as u32) {
        Some(ranks_offset) => ranks_offset,
        None => return STATUS_ERROR,
    };
    let own = Section {
        offset: header.plan_output_offset as usize,
        bytes: PLAN_OUTPUT_BYTES.saturating_add((header.plan_ranks_capacity as usize).saturating_mul(4)),
    };
    let all = sections(header);
    let asked = Section::of::<PlanRequest>(header.plan_request_offset, 1);
    if all.written.iter().chain(all.read.iter()).any(|other| own.meets(*other)) || own.meets(asked) {
        return STATUS_ERROR;
    }
    // Safety: the plan's output and the ranks behind it follow each other, and overlap nothing else: checked above.
    let (output, ranks) = unsafe {
        (
            checked.slice_mut::<PlanOutput>(header.plan_output_offset, 1).first_mut(),
            checked.slice_mut::<u32>(ranks_offset, header.plan_ranks_capacity),
        )
    };
    let output = match output {
        Some(output) => output,
        None => return STATUS_ERROR,
    };
    let links = checked.slice::<LinkLevel>(header.links_offset, header.links_count);
    let mut job = PlanFrame { rows: rows(checked), request, links, output, ranks };
    hook(&mut job).code()
}

#[cfg(target_os = "wasi")]
extern "C" {
    /// Called by nobody else in a module that has no `main`; the linker would call it around every hook if it were not called here.
    fn __wasm_call_ctors();
}

/// What the exported `init` does: says whether this library can read the host's frames.
///
/// # Safety
/// As `check`.
pub unsafe fn init(frame: *mut u8) -> i32 {
    #[cfg(not(target_arch = "wasm32"))]
    panics::keep_quiet();
    // Safety: what the linker makes of the constructors of C code; the host calls `init` once for each instance.
    #[cfg(target_os = "wasi")]
    unsafe {
        __wasm_call_ctors()
    };
    border(|| {
        // Safety: passed on.
        match unsafe { check(frame) } {
            Some(checked) if is_sound(checked) => STATUS_OK,
            _ => STATUS_ERROR,
        }
    })
}

/// In a module a panic is a trap, and nothing comes back to be caught.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, ()> {
    Ok(call())
}

/// A panic ends here. What the call borrowed is not looked at after one, but for the log: how much of it is used.
#[cfg(not(target_arch = "wasm32"))]
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, ()> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).map_err(panics::discard)
}

/// No panic crosses the border of a library, wherever in a call it is.
#[inline(always)]
fn border(call: impl FnOnce() -> i32) -> i32 {
    caught(call).unwrap_or(STATUS_ERROR)
}

/// Writes what the panic of this call said, and where, as far as the log has room.
fn write_panic(_log: &mut Log<'_>) {
    #[cfg(not(target_arch = "wasm32"))]
    {
        _log.text(&panics::take());
        _log.line();
    }
}
