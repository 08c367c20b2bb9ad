// Owns the outcome model of the doubly robust estimate: a line through outcomes over the common predictor's milliseconds. It may be wrong: then the estimate is
// no better than the weights alone make it, and still right.

/** One decision: predicted milliseconds at the recorded target, the other strategy's mean of them, and what came. */
export interface ModelPoint {
	readonly chosenMs: number;
	readonly targetMs: number;
	readonly outcome: number;
}

export interface Predicted {
	readonly chosen: number;
	readonly target: number;
}

/**
 * Least squares of outcome = a + b · milliseconds, fitted on the decisions of the other parity (cross-fitting: no decision is predicted from itself). A line keeps
 * means: the prediction at the mean of the milliseconds is the mean of the predictions.
 */
export function predictOutcomes(points: readonly ModelPoint[]): Predicted[] {
	const lines = [0, 1].map((parity) => fitLine(points.filter((_, index) => index % 2 !== parity)));
	return points.map(({ chosenMs, targetMs }, index) => {
		const { intercept, slope } = lines[index % 2] as Line;
		return { chosen: intercept + slope * chosenMs, target: intercept + slope * targetMs };
	});
}

interface Line {
	readonly intercept: number;
	readonly slope: number;
}

function fitLine(points: readonly ModelPoint[]): Line {
	const n = points.length;
	if (n === 0) return { intercept: 0, slope: 0 };
	const meanX = points.reduce((sum, one) => sum + one.chosenMs, 0) / n;
	const meanY = points.reduce((sum, one) => sum + one.outcome, 0) / n;
	let xx = 0;
	let xy = 0;
	for (const { chosenMs, outcome } of points) {
		xx += (chosenMs - meanX) ** 2;
		xy += (chosenMs - meanX) * (outcome - meanY);
	}
	const slope = xx > 0 ? xy / xx : 0;
	return { intercept: meanY - slope * meanX, slope };
}
