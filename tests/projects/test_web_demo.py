"""The web page: what it computes, and the page itself in a headless browser where there is one."""

import importlib.util
import json
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.result import Result
from mmvitdense.mask_codes import encode

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def app():
    """The module, under its own name for the dataclasses in it."""
    spec = importlib.util.spec_from_file_location('web_demo_app', ROOT / 'projects/web_demo/app.py')
    module = sys.modules['web_demo_app'] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Seer:
    """Two boxes with masks in every picture, or a map with two halves; counts how often it is asked."""

    def __init__(self, kind):
        self.kind, self.calls = kind, 0

    def __call__(self, image, score_thr, keep_images):
        self.calls += 1
        height, width = image.shape[:2]
        half = np.zeros((height, width), bool)
        half[:, : width // 2] = True
        options = {'height': height, 'width': width, 'classes': ('cat', 'dog'), 'image': image}
        if self.kind == 'map':
            return Result(**options, label_map=half.astype(np.uint8))
        boxes = np.array([[2, 2, width // 2, height - 2], [width // 2, 2, width - 2, height - 2]], np.float32)
        scores, labels = np.array([0.9, 0.2], np.float32), np.array([0, 1])
        return Result(**options, boxes=boxes, scores=scores, labels=labels, masks=[encode(half), encode(~half)])


@pytest.fixture
def models(app):
    found = app.Models({'boxes': ('boxes', None), 'map': ('map', None)})
    found._built.update((kind, Seer(kind)) for kind in found.known)
    return found


def test_what_is_seen_and_what_is_downloaded(app, models):
    """The threshold changes picture, table and files without a prediction; colours come and go as RGB."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[..., 0] = 200  # red
    seer = models.get('boxes')
    pytest.importorskip('gradio')
    result, drawn, table, files = app.predict(models, 'boxes', picture, 0.1)
    assert table == [['cat', '0.90'], ['dog', '0.20']]
    assert drawn[..., 0].mean() > drawn[..., 2].mean()
    again, table, files = app.show(result, 0.5)
    assert table == [['cat', '0.90']]
    assert seer.calls == 1
    assert not np.array_equal(again, drawn)
    assert np.array_equal(cv2.imread(files[0])[..., ::-1], again)
    content = json.loads(Path(files[1]).read_text())
    assert content['names'] == ['cat']
    assert content['masks'][0]['size'] == [64, 96]
    _, _, table, files = app.predict(models, 'map', picture, 0.5)
    assert table == [['cat', '50.0%'], ['dog', '50.0%']]
    assert set(json.loads(Path(files[1]).read_text())['classes']) == {'cat', 'dog'}


def test_a_few_models_are_kept(app, monkeypatch):
    """Those used last."""
    built = []
    monkeypatch.setattr('mmvitdense.apis.inference.Inferencer', lambda *given: built.append(given[0]) or given[0])
    found = app.Models({name: (name, None) for name in 'abc'}, kept=2)
    for name in 'abacac':
        assert found.get(name) == name
    assert built == ['a', 'b', 'c']


def test_models_of_the_command_line(app, tmp_path):
    assert app.named_models([['x/one.py', 'w.pth'], ['two'], ['y/one.py', 'v.pth']]) == {
        'one': ('x/one.py', 'w.pth'),
        'two': ('two', None),
        "one'": ('y/one.py', 'v.pth'),
    }
    with pytest.raises(InputError, match='expected a model, and its weights'):
        app.named_models([['a', 'b', 'c']])
    assert app.quickstart_models(tmp_path) == {}


@pytest.fixture
def browser():
    """Chromium without a window."""
    webdriver = pytest.importorskip('selenium.webdriver', reason='selenium is not installed')
    programs = [shutil.which(name) for name in ('chromium', 'chromedriver')]
    if None in programs:
        pytest.skip('chromium and chromedriver are not installed: the page is not tried in a browser')
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for option in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--window-size=1400,1000'):
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


def wait(condition, seconds=120):
    """What a condition gives once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except Exception as error:  # the page is drawing itself anew
            last = error
            if time.monotonic() + 1 > end:
                raise last from None
        time.sleep(0.2)
    raise AssertionError('it never came')


_ON_TOP = """
    const place = arguments[0].getBoundingClientRect();
    return [place.left + 20, place.right - 20].map(x => document.elementFromPoint(x, place.top + 10).tagName);
"""
"""What a person sees near the upper corners of an image: the tags of the elements on top."""


def test_in_a_browser(app, models, browser, tmp_path):
    """Drop a picture, see boxes, move the threshold without a prediction, change the model, download."""
    pytest.importorskip('gradio', reason='gradio is not installed')
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    picture = tmp_path / 'picture.png'
    cv2.imwrite(str(picture), np.full((120, 160, 3), 90, np.uint8))
    page = app.build_page(models)
    _, address, _ = page.launch(server_name='127.0.0.1', prevent_thread_lock=True, quiet=True, share=False)
    try:
        browser.get(address)
        wait(lambda: browser.find_element(By.CSS_SELECTOR, '#picture input[type=file]')).send_keys(str(picture))

        def found():
            return browser.find_element(By.ID, 'found').text

        wait(lambda: 'cat' in found())
        assert 'dog' not in found()  # its score is below the threshold at the start
        number = browser.find_element(By.CSS_SELECTOR, '#threshold input[type=range]')
        number.send_keys(Keys.HOME)
        wait(lambda: 'dog' in found())
        assert models.get('boxes').calls == 1
        links = wait(lambda: browser.find_elements(By.CSS_SELECTOR, '#files a[href]'))
        assert {link.get_attribute('href').rpartition('/')[2] for link in links} >= {'seen.png', 'seen.json'}
        wait(lambda: browser.find_element(By.CSS_SELECTOR, '#seen img').get_attribute('src'))
        box = browser.find_element(By.CSS_SELECTOR, '#model input')
        box.click()
        wait(lambda: [each for each in browser.find_elements(By.CSS_SELECTOR, '[role=option]') if each.text == 'map'])
        next(each for each in browser.find_elements(By.CSS_SELECTOR, '[role=option]') if 'map' in each.text).click()
        wait(lambda: '50.0%' in found())
        browser.save_screenshot(str(tmp_path / 'page.png'))
        on_top = browser.execute_script(_ON_TOP, browser.find_element(By.CSS_SELECTOR, '#seen img'))
        assert on_top == ['IMG', 'IMG'], 'something lies over the picture or its legend'
        foreign = [
            entry['name']
            for entry in browser.execute_script('return performance.getEntriesByType("resource")')
            if not entry['name'].startswith((address, 'data:', 'blob:'))
        ]
        assert not foreign, 'the page fetches from elsewhere'
    finally:
        page.close()
