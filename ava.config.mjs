// Tests are compiled with the sources they stand beside; external ones (real programs from Debian) have their own config.

/** Whole meshes and simulations take minutes: they begin first, so that what is left at the end fills both cores in small pieces. */
const large = (file) => (file.includes('/test/dist/') ? 0 : 1);

export default {
	files: [
		'{proto,sdk,adapters,fabric,templates,host}/dist/**/*.test.js',
		'test/dist/**/*.test.js',
		'!test/dist/{external,long}/**',
	],
	sortTestFiles: (one, other) => large(one) - large(other) || one.localeCompare(other, 'en'),
	timeout: '120s',
	concurrency: 2,
	failWithoutAssertions: true,
	workerThreads: false,
};
