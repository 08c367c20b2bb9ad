// Tests against real programs (installed by .ci/run): they fail, rather than skip, when a program is missing.
export default {
	files: ['test/dist/external/**/*.test.js'],
	timeout: '180s',
	concurrency: 2,
	failWithoutAssertions: true,
	workerThreads: false,
};
