"""Logins that publishers of data ask for. Names and passwords are sent to them alone, and kept nowhere."""

from __future__ import annotations

import getpass
import http.cookiejar
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

from .errors import InputError

CITYSCAPES_LOGIN = 'https://www.cityscapes-dataset.com/login/'
USERNAME, PASSWORD = 'CITYSCAPES_USERNAME', 'CITYSCAPES_PASSWORD'
_SECONDS = 30.0


def cityscapes_cookie() -> str:
    """The cookie of a session at cityscapes-dataset.com, for the user of two environment variables or as typed.

    Raises:
        InputError: There is no user, the site does not answer, or it does not know the user.
    """
    name, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
    if not (name and password):
        if not sys.stdin.isatty():
            raise InputError(
                f'Cityscapes asks who fetches it: register at https://www.cityscapes-dataset.com/register/, then set '
                f'{USERNAME} and {PASSWORD}, or run this in a terminal.'
            )
        name = name or input('User name at cityscapes-dataset.com: ')
        password = getpass.getpass('Password (it is not kept): ')
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    form = urllib.parse.urlencode({'username': name, 'password': password, 'submit': 'Login'}).encode()
    try:
        with opener.open(CITYSCAPES_LOGIN, form, timeout=_SECONDS) as answer:
            # A page that shows the form again is the answer to a wrong password.
            refused = b'name="password"' in answer.read()
    except (OSError, HTTPException) as error:
        reason = getattr(error, 'reason', error)
        raise InputError(f'{CITYSCAPES_LOGIN} cannot be reached ({reason}): try again later.') from error
    if refused or not len(jar):
        raise InputError(
            f'cityscapes-dataset.com does not take this user and password: check {USERNAME} and {PASSWORD}.'
        )
    return '; '.join(f'{cookie.name}={cookie.value}' for cookie in jar)
