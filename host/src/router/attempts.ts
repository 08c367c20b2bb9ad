// Owns how all attempts of a request are reached, be there one or several.
import type { RouterErrorCode } from './errors.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';

const NONE: readonly RunningAttempt[] = [];

/** Those under way, as a list that does not change while it is walked. */
export function attemptsOf({ attempt, race }: RoutedRequest): readonly RunningAttempt[] {
	if (race !== undefined) return race.live();
	return attempt === undefined ? NONE : [attempt];
}

/** Stops whatever is under way; no copy follows. */
export function stopAttempts(request: RoutedRequest, end: 'failed' | 'cancelled', failure?: RouterErrorCode): void {
	if (request.attempt === undefined) return;
	if (request.race === undefined) return request.attempt.stop(end, failure);
	request.race.close();
	for (const attempt of request.race.live()) attempt.stop(end, failure);
}
