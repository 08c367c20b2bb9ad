// Owns the levels of formats. A build writes formats of one level and reads those of the level before as well; a mesh has one level, that of the oldest
// build in it, and nobody writes formats above it. docs/compatibility.md lists what each level brings.

/** The newest level this build can write. */
export const COMPAT_LEVEL = 2;
/** Of a build that names none, and of a mesh that has decided nothing yet. */
export const COMPAT_LEVEL_FIRST = 1;

/** Form of the store's snapshots at a level. 2: pieces are deflated. */
export function snapshotFormatAt(level: number): 1 | 2 {
	return level >= 2 ? 2 : 1;
}

/** Whether every node judges a split by session or tenant by its blocks: below level 2 one that takes over would take each request for a draw of its own. */
export function judgesByBlockAt(level: number): boolean {
	return level >= 2;
}

/** Why a node whose newest level is `own` cannot be in a mesh of level `mesh`; undefined when it can. */
export function levelRefusal(own: number, mesh: number): string | undefined {
	const oldest = Math.max(COMPAT_LEVEL_FIRST, own - 1);
	if (mesh > own) return `the mesh is at level ${mesh}; this node speaks ${oldest} to ${own} and is too old`;
	if (mesh < oldest) return `the mesh is at level ${mesh}; this node speaks ${oldest} to ${own} and is too new`;
	return undefined;
}
