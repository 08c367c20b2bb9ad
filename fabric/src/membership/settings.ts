// Owns the numbers of the protocol: the three profiles as data (memberlist's constants) and the bounds on everything that is kept.
import { MeshError } from '@infermesh/proto';
import { membershipErrors } from './errors.js';

export interface SwimSettings {
	readonly probeIntervalMs: number;
	/** How long a direct answer may take before helpers are asked. */
	readonly probeTimeoutMs: number;
	/** Helpers asked for an indirect probe. */
	readonly indirectChecks: number;
	/** Shortest suspicion is `suspicionMultiplier · max(suspicionScaleMin, log10 n) · probeIntervalMs`. */
	readonly suspicionMultiplier: number;
	/**
	 * Memberlist has 1 here. With 1.5 a pool of up to 31 waits as long as one of 32 (6 s in a LAN), so that a member may stand still for 5 s, be it a pool of
	 * three in which nobody need confirm.
	 */
	readonly suspicionScaleMin: number;
	/** Longest suspicion over shortest. */
	readonly suspicionMaxMultiplier: number;
	readonly gossipIntervalMs: number;
	/** Members gossiped to each interval. */
	readonly gossipNodes: number;
	/** A broadcast is sent at most `retransmitMultiplier · ceil(log10(n + 1))` times. */
	readonly retransmitMultiplier: number;
	/** Between two anti-entropy exchanges at up to 32 members; scaled by ceil(log2(n / 32)) + 1 above. */
	readonly pushPullIntervalMs: number;
	/** The dead still receive gossip for this long, so that they can refute. */
	readonly gossipToTheDeadMs: number;
	readonly streamTimeoutMs: number;
	/** The local health score runs from 0 to this minus 1. */
	readonly awarenessMax: number;
	/** Between two attempts to reach a failed member. */
	readonly reconnectIntervalMs: number;
	/** First and largest pause between attempts at a seed that is not a member. */
	readonly seedBackoffMinMs: number;
	readonly seedBackoffMaxMs: number;
	/** The dead and the left are remembered for this long, so that an old alive cannot bring them back. */
	readonly reapMs: number;
	/** A leaving member stays this long at most to spread the word. */
	readonly leaveTimeoutMs: number;
}

export type ProfileName = 'lan' | 'wan' | 'local';

const lan: SwimSettings = {
	probeIntervalMs: 1_000,
	probeTimeoutMs: 500,
	indirectChecks: 3,
	suspicionMultiplier: 4,
	suspicionScaleMin: 1.5,
	suspicionMaxMultiplier: 6,
	gossipIntervalMs: 200,
	gossipNodes: 3,
	retransmitMultiplier: 4,
	pushPullIntervalMs: 30_000,
	gossipToTheDeadMs: 30_000,
	streamTimeoutMs: 10_000,
	awarenessMax: 8,
	reconnectIntervalMs: 30_000,
	seedBackoffMinMs: 1_000,
	seedBackoffMaxMs: 60_000,
	reapMs: 24 * 3_600_000,
	leaveTimeoutMs: 5_000,
};

export const swimProfiles: Readonly<Record<ProfileName, SwimSettings>> = Object.freeze({
	lan,
	wan: {
		...lan,
		probeIntervalMs: 5_000,
		probeTimeoutMs: 3_000,
		suspicionMultiplier: 6,
		gossipIntervalMs: 500,
		gossipNodes: 4,
		pushPullIntervalMs: 60_000,
		gossipToTheDeadMs: 60_000,
		streamTimeoutMs: 30_000,
	},
	local: {
		...lan,
		probeTimeoutMs: 200,
		indirectChecks: 1,
		suspicionMultiplier: 3,
		gossipIntervalMs: 100,
		retransmitMultiplier: 2,
		pushPullIntervalMs: 15_000,
		gossipToTheDeadMs: 15_000,
		streamTimeoutMs: 1_000,
	},
});

/** Bounds on what is kept and carried; not tuned per mesh. */
export const swimBounds = Object.freeze({
	membersMax: 16_384,
	metaMaxBytes: 512,
	ackPayloadMaxBytes: 256,
	broadcastsMax: 4_096,
	userKeyMaxBytes: 64,
	/** Newest sequences remembered, one per origin and key. */
	userKeysMax: 8_192,
	/** A user broadcast too big for a packet goes by stream up to this. */
	userStreamMaxBytes: 64 * 1_024,
	/** Indirect probes done for others at one time. */
	relaysMax: 1_024,
	/** Pings answered a second, and in a burst: each costs a signature, some 50 µs. */
	answersPerSecondMax: 1_000,
	answersBurst: 2_000,
	/** Acks looked at for one probe; one that is not its member's costs a check of a signature. */
	acksPerProbeMax: 16,
	exchangesMax: 128,
	/** Accusations kept of one member: enough for the shortest suspicion and a quorum of the dead claim. */
	accusersMax: 16,
	seedsMax: 64,
	digestBucketsMax: 1_024,
	/** An accusation may run ahead of the known incarnation by this much; a forged leap would use incarnations up. */
	incarnationLeapMax: 2 ** 20,
	/** A stale alive is answered at most this often per member. */
	staleAnswerIntervalMs: 1_000,
	/** Claims set aside until their signer's credential has come. */
	waitingClaimsMax: 16_384,
});

/** Refuses values no run could work with. Throws MeshError IM_MEMBERSHIP_SETTING. */
export function checkSettings(settings: SwimSettings): void {
	const fail = (where: string, message: string): never => {
		throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_SETTING', message, { where });
	};
	for (const [name, value] of Object.entries(settings) as [keyof SwimSettings, number][]) {
		const whole = !name.endsWith('Ms') && name !== 'suspicionScaleMin';
		const least = name === 'indirectChecks' ? 0 : 1;
		if (!Number.isFinite(value) || value < least || (whole && !Number.isInteger(value)))
			fail(name, `${name} must be ${whole ? 'an integer' : 'a number'} of at least ${least}, not ${value}`);
	}
	if (settings.probeTimeoutMs >= settings.probeIntervalMs)
		fail('probeTimeoutMs', 'the direct probe must end before its interval does');
	if (settings.seedBackoffMaxMs < settings.seedBackoffMinMs)
		fail('seedBackoffMaxMs', 'largest backoff is below the first');
}
