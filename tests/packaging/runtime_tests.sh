# The tests that the runtime alone can run, without PyTorch and without the source tree: sourced.
# A bundle that PyTorch made elsewhere is given by --tiny-bundle.
runtime_tests=(tests/audio tests/frontend tests/scoring --ignore=tests/scoring/test_fit.py
    tests/bundle/test_format.py tests/cli tests/bench
    tests/monitor/test_{alarms,config,events,history,web}.py
    tests/test_model.py tests/test_analysis.py tests/test_detector_pickle.py)
