/* __name__: sends each request to the target with the least load for its weight. */
#include "infermesh.h"
#include "infermesh_manifest.h"

/* Called for every request: the eligible targets by cost, lowest first. Keep nothing between calls: same frame, same answer. */
static int32_t rank(uint8_t *frame) {
	const uint32_t rows = im_header(frame)->row_capacity;
	const float *load = im_column_f32(frame, IM_COLUMN_LOAD);
	const float *weight = im_column_f32(frame, IM_COLUMN_WEIGHT);
	const float *slow_start = im_column_f32(frame, IM_COLUMN_SLOW_START);
	float *cost = im_scratch_f32(frame, 0);
	for (uint32_t row = 0; row < rows; row++) {
		const float share = weight[row] * slow_start[row];
		cost[row] = (load[row] + 1.0f) / (share > 0.01f ? share : 0.01f);
	}
	return im_rank_lowest(frame, cost, IM_TOP_K);
}

IM_STRATEGY(IM_NATIVE_HAS_RANK, .rank = rank)
