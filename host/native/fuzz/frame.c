/* Owns the fuzzing of the C SDK's way through a frame: any frame a host may lay out, with anything in its cells. Sections lie in memory that AddressSanitizer
   guards on both sides, so that a reader that leaves its section is found where it does. Ranking is held to what a sort says, and to leaving all but
   output and scratch as it was. Input: choices first, then what the cells hold, over again when it is used up. */
#include <math.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infermesh.h"

#define GUARD_BYTES 64u
#define ROWS_MAX 300u

static const uint8_t *input;
static size_t input_bytes, input_at;

static uint8_t next8(void) {
	if (input_bytes == 0) return 0;
	if (input_at == input_bytes) input_at = 0;
	return input[input_at++];
}

static uint32_t next32(void) {
	uint32_t value = 0;
	for (int i = 0; i < 4; i++) value = value << 8 | next8();
	return value;
}

static void fail(const char *what) {
	fprintf(stderr, "FRAME: %s\n", what);
	abort();
}

struct section {
	uint32_t at, bytes;
};

static struct section sections[IM_COLUMN_COUNT + 16];
static uint32_t section_count, frame_bytes;

static uint32_t take(uint32_t bytes) {
	if (bytes == 0) return 0;
	const uint32_t at = frame_bytes;
	sections[section_count++] = (struct section){at, bytes};
	frame_bytes = (at + bytes + IM_SECTION_ALIGN_BYTES - 1) / IM_SECTION_ALIGN_BYTES * IM_SECTION_ALIGN_BYTES + GUARD_BYTES;
	return at;
}

/* As sdk/src/frame/layout.ts lays one out, with room between the sections. */
static im_frame_header lay_out(uint32_t offsets[IM_COLUMN_TABLE_ENTRIES]) {
	section_count = frame_bytes = 0;
	im_frame_header header = {.magic = IM_FRAME_MAGIC, .abi_version = IM_ABI_VERSION};
	take(IM_HEADER_BYTES);
	header.row_count = 1 + next32() % ROWS_MAX;
	header.row_capacity = (header.row_count + 15) / 16 * 16;
	header.request_offset = take(sizeof(im_request));
	header.output_offset = take(sizeof(im_output));
	header.columns_count = IM_COLUMN_TABLE_ENTRIES;
	header.columns_offset = take(IM_COLUMN_TABLE_ENTRIES * 4);
	header.config_slots = next8();
	header.config_offset = take(header.config_slots * 4);
	header.eligibility_offset = take((header.row_capacity + 31) / 32 * 4);
	header.hits_capacity = next8() & 1 ? (header.row_count < 16 ? 16 : header.row_count) : 0;
	header.hits_offset = take(header.hits_capacity * (uint32_t)sizeof(im_prefix_hit));
	const uint64_t declared = (uint64_t)next32() << 32 | next32();
	memset(offsets, 0, IM_COLUMN_TABLE_ENTRIES * 4);
	for (uint32_t id = 0; id < IM_COLUMN_COUNT; id++)
		if (declared >> id & 1) offsets[id] = take(header.row_capacity * 4);
	header.scratch_bytes = header.row_capacity * IM_SCRATCH_BYTES_PER_ROW;
	header.scratch_offset = take(header.scratch_bytes);
	header.state_bytes = next8() * 4u;
	header.state_offset = take(header.state_bytes);
	header.log_bytes = next8();
	header.log_offset = take(header.log_bytes);
	header.outcomes_capacity = next8() & 1 ? IM_OUTCOMES_MAX : 0;
	header.outcomes_offset = take(header.outcomes_capacity * (uint32_t)sizeof(im_outcome));
	header.frame_bytes = frame_bytes;
	header.mesh_seed = next32();
	return header;
}

/* What is left of the input, over and over. */
static void fill(uint8_t *to, size_t bytes) {
	size_t done = input_bytes - input_at < bytes ? input_bytes - input_at : bytes;
	memset(to, 0, bytes);
	if (done == 0) return;
	memcpy(to, input + input_at, done);
	for (; done < bytes; done *= 2) memcpy(to + done, to, done < bytes - done ? done : bytes - done);
}

static uint8_t *make_frame(void) {
	uint32_t offsets[IM_COLUMN_TABLE_ENTRIES];
	const im_frame_header header = lay_out(offsets);
	uint8_t *frame = aligned_alloc(IM_SECTION_ALIGN_BYTES, frame_bytes);
	fill(frame, frame_bytes);
	memcpy(frame, &header, sizeof header);
	memcpy(frame + header.columns_offset, offsets, sizeof offsets);
	memset(frame + header.output_offset, 0, sizeof(im_output));
	im_request *request = (void *)(frame + header.request_offset);
	if (request->hit_count > header.hits_capacity) request->hit_count = header.hits_capacity;
	/* Rows beyond those in use are never eligible. */
	uint32_t *eligible = (void *)(frame + header.eligibility_offset);
	for (uint32_t row = header.row_count; row < (header.row_capacity + 31) / 32 * 32; row++) eligible[row >> 5] &= ~(1u << (row & 31));
	ASAN_POISON_MEMORY_REGION(frame, frame_bytes);
	for (uint32_t i = 0; i < section_count; i++) ASAN_UNPOISON_MEMORY_REGION(frame + sections[i].at, sections[i].bytes);
	return frame;
}

/* Of all sections but output and scratch (and the state, which other hooks may write). */
static uint64_t digest(const uint8_t *frame) {
	const im_frame_header *header = im_header(frame);
	uint64_t hash = 0xcbf29ce484222325u;
	for (uint32_t i = 0; i < section_count; i++) {
		if (sections[i].at == header->output_offset || sections[i].at == header->scratch_offset) continue;
		const uint8_t *section = frame + sections[i].at;
		for (uint32_t at = 0; at + 4 <= sections[i].bytes; at += 4) hash = (hash ^ *(const uint32_t *)(const void *)(section + at)) * 0x100000001b3u;
		for (uint32_t at = sections[i].bytes & ~3u; at < sections[i].bytes; at++) hash = (hash ^ section[at]) * 0x100000001b3u;
	}
	return hash;
}

/* Everything a strategy may read, from end to end; the sum keeps the compiler from leaving it out. */
static volatile uint32_t seen;

static void read_all(uint8_t *frame) {
	const im_frame_header *header = im_header(frame);
	uint32_t sum = im_request_in(frame)->tokens_in;
	for (uint32_t id = 0; id < IM_COLUMN_TABLE_ENTRIES + 8; id++) {
		const uint32_t *column = im_column_u32(frame, id);
		if ((const void *)column != (const void *)im_column_f32(frame, id)) fail("a column is in two places");
		if (column == NULL) continue;
		if (id >= IM_COLUMN_COUNT) fail("a column that there is not");
		for (uint32_t row = 0; row < header->row_capacity; row++) sum += column[row];
	}
	for (uint32_t i = 0; i < im_request_in(frame)->hit_count; i++) sum += im_hits(frame)[i].row;
	for (uint32_t i = 0; i < header->outcomes_capacity; i++) sum += im_outcomes(frame)[i].row;
	for (uint32_t i = 0; i < header->state_bytes; i++) sum += im_state(frame)[i];
	for (uint32_t slot = 0; slot < IM_CONFIG_SLOTS_MAX + 8; slot++) {
		const float value = im_config_f32(frame, slot);
		uint32_t bits;
		memcpy(&bits, &value, sizeof bits);
		if (bits != im_config_u32(frame, slot)) fail("a configuration value is two");
		if (slot >= header->config_slots && bits != 0) fail("a configuration value beyond the section");
		sum += bits;
	}
	for (uint32_t row = 0; row < header->row_capacity + 64; row++) {
		if (row >= header->row_count && im_is_eligible(frame, row)) fail("a row that there is not is eligible");
		sum += (uint32_t)im_is_eligible(frame, row);
	}
	const uint32_t limit = next32();
	const uint32_t drawn = im_random_below(frame, next8(), limit);
	if (limit > 0 && drawn >= limit) fail("a random number beyond its limit");
	seen = sum + drawn;
}

static int by_cost(const void *left, const void *right) {
	const float a = *(const float *)left, b = *(const float *)right;
	return (a > b) - (a < b);
}

/* Costs of any bits, of few values so that many are equal, or all equal. */
static void write_costs(float *cost, uint32_t rows) {
	const uint8_t kind = next8() % 3;
	for (uint32_t row = 0; row < rows; row++) {
		const uint32_t bits = next32();
		if (kind == 0) memcpy(&cost[row], &bits, sizeof bits);
		else cost[row] = kind == 1 ? (float)(bits % 5) - 2.0f : 0.5f;
	}
}

static void rank(uint8_t *frame) {
	const im_frame_header *header = im_header(frame);
	const uint32_t rows = header->row_capacity;
	static float before[ROWS_MAX + 16], sorted[ROWS_MAX + 16];
	float *cost = im_scratch_f32(frame, next8() % 3);
	write_costs(cost, rows);
	memcpy(before, cost, rows * sizeof *cost);
	uint32_t choosable = 0;
	for (uint32_t row = 0; row < rows; row++)
		if (im_is_eligible(frame, row) && isfinite(before[row])) sorted[choosable++] = before[row];
	qsort(sorted, choosable, sizeof *sorted, by_cost);
	const uint32_t most = next8() & 1 ? next8() % 20 : next32();
	uint32_t wanted = most < IM_RANKED_ROWS_MAX ? most : IM_RANKED_ROWS_MAX;
	if (im_request_in(frame)->top_k < wanted) wanted = im_request_in(frame)->top_k;
	if (choosable < wanted) wanted = choosable;
	const uint64_t rest = digest(frame);
	const int32_t status = im_rank_lowest_after(frame, cost, most, next8());
	if (digest(frame) != rest) fail("ranking has written beyond output and scratch");
	const im_output *output = im_output_in(frame);
	if (status != (wanted == 0 ? IM_STATUS_DECLINE : IM_STATUS_OK)) fail("the status is not what the rows allow");
	if (output->count != wanted || output->verdict != IM_VERDICT_ROUTE) fail("not as many rows as there are to be had");
	for (uint32_t i = 0; i < wanted; i++) {
		const uint32_t row = output->rows[i];
		if (row >= header->row_count || !im_is_eligible(frame, row)) fail("a row that may not be chosen");
		if (output->scores[i] != before[row] || output->scores[i] != sorted[i]) fail("not the lowest cost");
		for (uint32_t earlier = 0; earlier < i; earlier++)
			if (output->rows[earlier] == row) fail("a row twice");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
	input = bytes;
	input_bytes = length;
	input_at = 0;
	uint8_t *frame = make_frame();
	read_all(frame);
	rank(frame);
	if (im_reject(frame, next8(), 1.0f) != IM_STATUS_OK || im_output_in(frame)->verdict != IM_VERDICT_REJECT) fail("no rejection");
	if (im_hold(frame, 1.0f) != IM_STATUS_OK || im_output_in(frame)->verdict != IM_VERDICT_HOLD) fail("not held");
	ASAN_UNPOISON_MEMORY_REGION(frame, frame_bytes);
	free(frame);
	return 0;
}
