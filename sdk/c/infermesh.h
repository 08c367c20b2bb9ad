/* Owns what a strategy in C would else write by hand: typed access to the frame, random numbers, ranking, and the struct that exports the
   strategy. C11, no library needed. The build generates infermesh_manifest.h from strategy.yaml.

       #include "infermesh.h"
       #include "infermesh_manifest.h"

       static int32_t rank(uint8_t *frame) { ... return im_rank_lowest(frame, cost, IM_TOP_K); }

       IM_STRATEGY(IM_NATIVE_HAS_RANK, .rank = rank)

   Ranking and random numbers give bit for bit what the AssemblyScript SDK gives. */
#ifndef INFERMESH_H
#define INFERMESH_H
#include "infermesh_abi.h"

/* Defines the one exported function. `has`: the IM_NATIVE_HAS_* of the hooks that follow, or'ed. */
#define IM_STRATEGY(has, ...)                          \
	static const im_native_strategy im_this_strategy = { \
		.magic = IM_NATIVE_MAGIC,                        \
		.abi_major = IM_NATIVE_ABI_MAJOR,                \
		.abi_minor = IM_NATIVE_ABI_MINOR,                \
		.struct_bytes = sizeof(im_native_strategy),      \
		.frame_abi_version = IM_ABI_VERSION,             \
		.capabilities = (has),                           \
		.manifest = im_manifest,                         \
		.manifest_bytes = sizeof(im_manifest) - 1,       \
		__VA_ARGS__};                                    \
	const im_native_strategy *infermesh_strategy(void) { return &im_this_strategy; }

static inline const im_frame_header *im_header(const uint8_t *frame) { return (const void *)frame; }

static inline const im_request *im_request_in(const uint8_t *frame) {
	return (const void *)(frame + im_header(frame)->request_offset);
}

/* The host has cleared it: verdict route, no rows. */
static inline im_output *im_output_in(uint8_t *frame) { return (void *)(frame + im_header(frame)->output_offset); }

/* The column with this IM_COLUMN_*, row_capacity cells; null when the manifest does not list it. */
static inline const void *im_column(const uint8_t *frame, uint32_t id) {
	const im_frame_header *header = im_header(frame);
	const uint32_t *offsets = (const void *)(frame + header->columns_offset);
	return id < header->columns_count && offsets[id] != 0 ? frame + offsets[id] : NULL;
}

static inline const float *im_column_f32(const uint8_t *frame, uint32_t id) { return im_column(frame, id); }

static inline const uint32_t *im_column_u32(const uint8_t *frame, uint32_t id) { return im_column(frame, id); }

/* Working column 0 to 3, row_capacity cells; what is in it at entry is undefined. */
static inline float *im_scratch_f32(uint8_t *frame, uint32_t which) {
	return (float *)(void *)(frame + im_header(frame)->scratch_offset) + (size_t)which * im_header(frame)->row_capacity;
}

/* Configuration by slot: the IM_CONFIG_* of infermesh_manifest.h; 0 beyond the section. */
static inline uint32_t im_config_u32(const uint8_t *frame, uint32_t slot) {
	const im_frame_header *header = im_header(frame);
	return slot < header->config_slots ? ((const uint32_t *)(const void *)(frame + header->config_offset))[slot] : 0;
}

static inline float im_config_f32(const uint8_t *frame, uint32_t slot) {
	const uint32_t bits = im_config_u32(frame, slot);
	float value;
	__builtin_memcpy(&value, &bits, sizeof value);
	return value;
}

/* Prefix hits of the request, hit_count of them, ordered by row. */
static inline const im_prefix_hit *im_hits(const uint8_t *frame) {
	return (const void *)(frame + im_header(frame)->hits_offset);
}

/* Outcomes given to `observe`. */
static inline const im_outcome *im_outcomes(const uint8_t *frame) {
	return (const void *)(frame + im_header(frame)->outcomes_offset);
}

/* The state block, state_bytes long: read-only in rank and admit, to be written in observe and tick. */
static inline uint8_t *im_state(uint8_t *frame) { return frame + im_header(frame)->state_offset; }

/* 0 for a row beyond the capacity. */
static inline int im_is_eligible(const uint8_t *frame, uint32_t row) {
	const uint32_t *words = (const void *)(frame + im_header(frame)->eligibility_offset);
	return row < im_header(frame)->row_capacity ? (int)((words[row >> 5] >> (row & 31)) & 1u) : 0;
}

/* A bijective scrambling of 32 bits (the finaliser of MurmurHash3). */
static inline uint32_t im_mix32(uint32_t value) {
	value ^= value >> 16;
	value *= 0x85ebca6bu;
	value ^= value >> 13;
	value *= 0xc2b2ae35u;
	return value ^ (value >> 16);
}

/* The random 32 bits of draw 1, 2, 3 … of this decision: from the request's seed and nothing else. */
static inline uint32_t im_random32(const uint8_t *frame, uint32_t draw) {
	const uint64_t seed = im_request_in(frame)->seed;
	return im_mix32(im_mix32((uint32_t)seed ^ (draw * 0x9e3779b9u)) ^ (uint32_t)(seed >> 32));
}

/* Uniform in 0 … limit − 1. */
static inline uint32_t im_random_below(const uint8_t *frame, uint32_t draw, uint32_t limit) {
	return (uint32_t)(((uint64_t)im_random32(frame, draw) * limit) >> 32);
}

/* The cost that keeps a row out. */
#define IM_NEVER (__builtin_inff())

/* Four cells at once, as the other SDKs do it; the compiler's own vectors, so that any machine has them. */
typedef float im_f32x4 __attribute__((vector_size(16)));
typedef int32_t im_i32x4 __attribute__((vector_size(16)));

static inline im_f32x4 im_load4(const float *from) {
	im_f32x4 four;
	__builtin_memcpy(&four, from, sizeof four);
	return four;
}

static inline void im_store4(float *to, im_f32x4 four) { __builtin_memcpy(to, &four, sizeof four); }

/* Lanes of `yes` where the mask is all ones, of `no` where it is zero. */
static inline im_f32x4 im_select4(im_i32x4 mask, im_f32x4 yes, im_f32x4 no) {
	return (im_f32x4)(((im_i32x4)yes & mask) | ((im_i32x4)no & ~mask));
}

static inline im_f32x4 im_min4(im_f32x4 a, im_f32x4 b) { return im_select4((im_i32x4)(b < a), b, a); }

static inline float im_smallest4(im_f32x4 four) {
	const float left = four[1] < four[0] ? four[1] : four[0];
	const float right = four[3] < four[2] ? four[3] : four[2];
	return right < left ? right : left;
}

/* Rows whose minimum is kept together, in the fourth scratch column. */
#define IM_BLOCK_ROWS 64u

static inline float im_block_minimum(const float *cost, uint32_t block, uint32_t rows) {
	const uint32_t end = block + IM_BLOCK_ROWS < rows ? block + IM_BLOCK_ROWS : rows;
	im_f32x4 smallest = im_load4(cost + block);
	for (uint32_t row = block + 4; row < end; row += 4) smallest = im_min4(smallest, im_load4(cost + row));
	return im_smallest4(smallest);
}

/* Puts IM_NEVER where a row may not be chosen or its cost is no finite number. */
static inline void im_mask_costs(const uint8_t *frame, float *cost) {
	const uint32_t rows = im_header(frame)->row_capacity;
	const uint32_t *words = (const void *)(frame + im_header(frame)->eligibility_offset);
	const im_f32x4 never = {IM_NEVER, IM_NEVER, IM_NEVER, IM_NEVER};
	const im_i32x4 magnitude = {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff};
	const im_i32x4 lane = {1, 2, 4, 8};
	for (uint32_t row = 0; row < rows; row += 4) {
		const int32_t bits = (int32_t)(words[row >> 5] >> (row & 31));
		const im_i32x4 four = {bits, bits, bits, bits};
		const im_f32x4 costs = im_load4(cost + row);
		const im_i32x4 finite = (im_i32x4)((im_f32x4)((im_i32x4)costs & magnitude) < never);
		im_store4(cost + row, im_select4(finite & (im_i32x4)((four & lane) != 0), costs, never));
	}
}

/* The row with this cost after `skip` others with it; when there are not so many, their number in `seen` and no row. */
static inline uint32_t im_find_tied(const float *cost, const float *minima, uint32_t rows, float lowest, uint32_t skip, uint32_t *seen) {
	*seen = 0;
	for (uint32_t block = 0; block < rows; block += IM_BLOCK_ROWS) {
		if (minima[block / IM_BLOCK_ROWS] != lowest) continue;
		const uint32_t end = block + IM_BLOCK_ROWS < rows ? block + IM_BLOCK_ROWS : rows;
		for (uint32_t row = block; row < end; row++)
			if (cost[row] == lowest && (*seen)++ == skip) return row;
	}
	return IM_NO_ROW;
}

/* Ends a decision: ranks the eligible rows by cost, lowest first, as many as the host can use and at most `most`. Rows of equal cost are equally
   likely; `draws` random numbers have been taken before. Declines when no row is eligible. The column and the fourth scratch column are overwritten. */
static inline int32_t im_rank_lowest_after(uint8_t *frame, float *cost, uint32_t most, uint32_t draws) {
	const uint32_t rows = im_header(frame)->row_capacity;
	const uint32_t blocks = (rows + IM_BLOCK_ROWS - 1) / IM_BLOCK_ROWS;
	const uint32_t asked = im_request_in(frame)->top_k;
	const uint32_t bound = most < IM_RANKED_ROWS_MAX ? most : IM_RANKED_ROWS_MAX;
	const uint32_t wanted = asked < bound ? asked : bound;
	float *minima = im_scratch_f32(frame, 3);
	im_output *output = im_output_in(frame);
	im_mask_costs(frame, cost);
	for (uint32_t block = 0; block < blocks; block++) minima[block] = im_block_minimum(cost, block * IM_BLOCK_ROWS, rows);
	uint32_t count = 0;
	uint32_t tied = 0;
	float before = IM_NEVER;
	while (count < wanted) {
		float lowest = IM_NEVER;
		for (uint32_t block = 0; block < blocks; block++)
			if (minima[block] < lowest) lowest = minima[block];
		if (!(lowest < IM_NEVER)) break;
		uint32_t seen;
		/* Choosing one of several leaves one less; only a new lowest cost is counted. */
		if (lowest != before) im_find_tied(cost, minima, rows, lowest, IM_NO_ROW, &tied);
		before = lowest;
		const uint32_t skip = tied > 1 ? im_random_below(frame, ++draws, tied) : 0;
		const uint32_t row = im_find_tied(cost, minima, rows, lowest, skip, &seen);
		tied--;
		output->rows[count] = row;
		output->scores[count++] = lowest;
		cost[row] = IM_NEVER;
		minima[row / IM_BLOCK_ROWS] = im_block_minimum(cost, row & ~(IM_BLOCK_ROWS - 1), rows);
	}
	if (count == 0) return IM_STATUS_DECLINE;
	output->verdict = IM_VERDICT_ROUTE;
	output->count = count;
	return IM_STATUS_OK;
}

static inline int32_t im_rank_lowest(uint8_t *frame, float *cost, uint32_t most) {
	return im_rank_lowest_after(frame, cost, most, 0);
}

/* Ends the decision with a refusal: an IM_REJECT_REASON_* and when to come back (0 = the host decides). */
static inline int32_t im_reject(uint8_t *frame, uint32_t reason, float retry_after_ms) {
	im_output *output = im_output_in(frame);
	output->verdict = IM_VERDICT_REJECT;
	output->count = 0;
	output->reason = reason;
	output->retry_after_ms = retry_after_ms;
	return IM_STATUS_OK;
}

/* Ends the decision by keeping the request at the router: the lowest key is released first. */
static inline int32_t im_hold(uint8_t *frame, float key) {
	im_output *output = im_output_in(frame);
	output->verdict = IM_VERDICT_HOLD;
	output->count = 0;
	output->hold_key = key;
	return IM_STATUS_OK;
}

#endif
