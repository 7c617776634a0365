// Runs the controller of RefStack's results page (argv[2]) under node: prints its figures for recorded results.
// stdin: {"guidelines": {file: content}, "results": {file: {case: [names that passed]}}, "targets": {file: [target]}}
'use strict';
const fs = require('fs');
const controllers = {};
const each = (many, take) => Array.isArray(many) ? many.forEach((one, at) => take(one, at))
    : Object.keys(many || {}).forEach((key) => take(many[key], key));
const registry = {controller: (name, code) => { controllers[name] = code; return registry; }};
global.angular = {module: () => registry, forEach: each, toJson: JSON.stringify, copy: (one) => one};
require('vm').runInThisContext(fs.readFileSync(process.argv[2], 'utf8'));

const silent = {success: () => silent, error: () => silent};
const http = {get: () => silent, post: () => silent};
const powered = ['platform', 'compute', 'object'];

function figures(content, target, passed) {
    const ctrl = new controllers.ResultsReportController(http, {testID: '1'}, {}, {}, '', () => {});
    ctrl.guidelineData = content;
    ctrl.schemaVersion = 'metadata' in content ? content.metadata.schema : content.schema;
    ctrl.target = target;
    ctrl.gl_type = powered.includes(target) ? 'powered' : target;
    ctrl.resultsData = {results: passed, meta: {}};
    ctrl.buildCapabilitiesObject();
    const found = {};
    each(ctrl.caps, (one, status) => {
        const capabilities = one.caps.map((cap) => [cap.id, cap.passedTests.length,
            cap.passedTests.length + cap.notPassedTests.length,
            cap.passedFlagged.length, cap.notPassedFlagged.length]);
        found[status] = {passed: one.passedCount, total: one.count, flagged_passed: one.flagPassCount,
            flagged_failed: one.flagFailCount, capabilities: capabilities.sort()};
    });
    return {statuses: found, percent: ctrl.nonFlagRequiredPassPercent, counted: ctrl.totalNonFlagCount,
        counted_passed: ctrl.nonFlagPassCount};
}

const asked = JSON.parse(fs.readFileSync(0, 'utf8'));
const answer = {};
each(asked.targets, (targets, file) => {
    answer[file] = {};
    targets.forEach((target) => {
        answer[file][target] = {};
        each(asked.results[file], (passed, name) => {
            answer[file][target][name] = figures(asked.guidelines[file], target, passed);
        });
    });
});
process.stdout.write(JSON.stringify(answer));
