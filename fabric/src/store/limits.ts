// Owns the bounds of the replicated state. They are part of what members must agree on: changing one changes what a command does, so a change
// needs a new command kind or a setting that travels through the log.

/** Characters of a key or a prefix. */
export const keyMaxLength = 512;
/** Operations of one branch of a transaction. */
export const operationsMax = 128;
export const conditionsMax = 128;
/** Encoded bytes of one command. */
export const commandBytesMax = 1 << 20;
/** Keys that one transaction may delete, so that the events of one revision fit one message. */
export const deletesMax = 4_096;
/** Bytes that the gets of one transaction may answer. */
export const transactionAnswerBytesMax = 2 << 20;
/** Keys and bytes of one read; a single larger item is answered alone. */
export const readItemsMax = 10_000;
export const readBytesMax = 2 << 20;
export const leasesMax = 100_000;
/** Keys attached to one lease; its end deletes them in one revision. */
export const leaseKeysMax = 4_096;
export const leaseTtlMinMs = 500;
export const leaseTtlMaxMs = 24 * 3_600_000;
export const leaseIdMaxLength = 32;
/** Leases named by one renew or expire command. */
export const leasesPerCommandMax = 4_096;
/** Answers kept to recognise commands that are proposed again. */
export const requestWindowMax = 32_768;
export const requestWindowBytesMax = 8 << 20;
/** Counted for every version of a key beside its key and value: what the structures around it take. */
export const versionOverheadBytes = 128;
/** A store that was full takes writes again below this share of its quota. */
export const spaceResumeShare = 0.9;
export const snapshotPieceBytes = 256 << 10;
/** How far a restore into a new cluster moves revisions and lease numbers on: 15 years of 2,000 writes/s since the backup. */
export const restoreRevisionGap = 1_000_000_000_000;

/** What an operator may set; travels through the log as a `configure` command. */
export interface StoreSettings {
	/** Of all present keys and values, with overhead. */
	readonly quotaBytes: number;
	readonly historyRevisionsMax: number;
	/** Of superseded versions and deletions kept for watches and reads at a revision. */
	readonly historyBytesMax: number;
}

export const defaultSettings: StoreSettings = {
	quotaBytes: 512 << 20,
	historyRevisionsMax: 10_000,
	historyBytesMax: 64 << 20,
};

/** Whether every character is printable ASCII and no space, and there are at most `keyMaxLength`; the empty string passes as a prefix only. */
export function isKeyText(text: string): boolean {
	if (text.length > keyMaxLength) return false;
	for (let i = 0; i < text.length; i++) {
		const code = text.charCodeAt(i);
		if (code <= 0x20 || code >= 0x7f) return false;
	}
	return true;
}

export function isKey(text: string): boolean {
	return text.length > 0 && isKeyText(text);
}
