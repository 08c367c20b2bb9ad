// Tests that take minutes each, soaks among them: run by hand and before a release, no part of .ci/run. The frames of hybrid_mesh are all compared here.
export default {
	files: ['test/dist/long/**/*.test.js', 'test/dist/external/hybrid-mesh-rust.test.js'],
	environmentVariables: { INFERMESH_TEST_LONG: '1' },
	timeout: '300s',
	concurrency: 1,
	failWithoutAssertions: true,
	workerThreads: false,
};
