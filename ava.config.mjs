// Tests are compiled with the sources they stand beside; external ones (real programs from Debian) have their own config.
export default {
	files: [
		'{proto,sdk,adapters,fabric,templates,host}/dist/**/*.test.js',
		'test/dist/**/*.test.js',
		'!test/dist/{external,long}/**',
	],
	timeout: '120s',
	concurrency: 2,
	failWithoutAssertions: true,
	workerThreads: false,
};
