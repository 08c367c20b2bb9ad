// Owns the engine flags of a node without a data plane. What such a node does is seldom and short: code compiled by the baseline compiler would run a few
// times and lie in memory for ever. Hot functions are still optimised. To be set before the rest of the node is loaded.
import { setFlagsFromString } from 'node:v8';

export function setThriftyFlags(): void {
	setFlagsFromString('--no-sparkplug');
}
