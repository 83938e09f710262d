"""Damaged .ts files: the message names file, line, what was found, what was expected, the mend."""

import pytest

from phc_snn.data.ts_format import check_ts

HEAD = """#prose
@problemName Tiny
@timeStamps false
@univariate false
@dimensions 2
@equalLength true
@classLabel true a B
@data
"""
CASES = "1,2,3:4,5,6:a\n0,-1.5e3,.5:1,1,1:b\n"


@pytest.fixture
def check(tmp_path):
    def check(content):
        path = tmp_path / "Tiny_TRAIN.ts"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        check_ts(path)

    return check


@pytest.mark.parametrize(
    "content",
    [
        HEAD + CASES,
        HEAD + CASES.removesuffix("\n"),
        HEAD + CASES.replace("\n", "\r\n"),
        HEAD + CASES.replace(",", " , ").replace(":a", ": A "),
        HEAD.replace("@dimensions 2\n", "") + CASES,
        HEAD.replace("Length true", "Length false") + CASES + "1:2:a\n",
        "@univariate true\n@classLabel true 1\n@DATA\n1,2:1\n",
        "@classLabel true 1\n@data\n1,2:1\n",
        HEAD.replace("#prose", "%# prose, with 1,2 in it\nprose") + CASES,
    ],
    ids=[
        "plain",
        "no last newline",
        "carriage returns",
        "spaces",
        "dimensions unsaid",
        "unequal",
        "univariate",
        "silent header",
        "prose",
    ],
)
def test_files_that_can_be_read(check, content):
    check(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"found an empty file, expected a header and cases; fetch"),
        (HEAD, r"line 8: found the end of the file, expected cases after @data; fetch"),
        ("#prose\n", r"line 1: found the end of the file, expected a line @data and cases; fetch"),
        (CASES, r"line 1: found a case in the header, expected @data before the first one; add"),
        (b"@a\n# \xe7\n", r"line 2: found the byte 0xe7, expected UTF-8; save the file as UTF-8"),
        (HEAD.replace("s false", "s true"), r"line 8: .*@timeStamps true, .*; write the values al"),
        (HEAD.replace("s false", "s no"), r"line 3: found 'no', expected @timestamps true or fal"),
        (HEAD.replace("true a B", "false"), r"line 8: .* without classes, expected @classLabel"),
        (HEAD.replace("s 2", "s two"), r"line 5: found 'two', expected the number of dimensions"),
        (HEAD.replace(" Tiny", ""), r"line 2: found no name, expected one after @problemName; add"),
        (HEAD.replace("@data", "@data 1:a"), r"line 8: found text after @data, expected cases fr"),
        (HEAD.replace("@uni", "#"), r"line 8: .*@dimensions 2 that does not say @univariate false"),
    ],
    ids=[
        "empty",
        "no cases",
        "no data line",
        "no header",
        "not UTF-8",
        "timestamps",
        "no flag",
        "no classes",
        "no number",
        "no name",
        "data on its line",
        "univariate",
    ],
)
def test_headers(check, content, message):
    with pytest.raises(ValueError, match=r"Tiny_TRAIN\.ts(, |: )" + message):
        check(content)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("1,2,3:a", r"found 2 parts .*, expected 3: 2 dimensions, as the header says, and the la"),
        ("1,2,3:4,5,6:7,8,9:a", r"found 4 parts between colons, expected 3: .* mend the line or"),
        ("1,2,3:4,5:a", r"found 2 values in dimension 2, expected 3 as in dimension 1; mend"),
        ("1,2:4,5:a", r"found 2 steps, expected 3 as in line 9; write @equalLength false"),
        ("1,2,3:4,5,6:c", r"found the label 'c', expected one of @classLabel \(a, b\); add it"),
        ("1,2,3:4,5,6:", r"found the label '', expected one of"),
        ("1,2,inf:4,5,6:a", r"dimension 1, value 3: found 'inf', beyond what float32 holds, exp"),
        ("1,2,3:4,-1e39,6:a", r"dimension 2, value 2: found '-1e39', beyond what float32 holds"),
        ("1,?,3:4,5,6:a", r"dimension 1, value 2: found '\?', a missing value, expected a finite"),
        ("1,2,3:4,5,NaN:a", r"dimension 2, value 3: found 'NaN', a missing value, .*; fill it in"),
        ("1,,3:4,5,6:a", r"dimension 1, value 2: found '', a missing value"),
        ("1,2,3:4,5,:a", r"dimension 2, value 3: found '', a missing value"),
        ("1,2,3:4,x5,6:a", r"dimension 2, value 2: found 'x5', not a number, .*; mend it, or"),
        ("1,2,3:4,1_0,6:a", r"dimension 2, value 2: found '1_0', not a number"),
        ("", r"found an empty line, expected a case; delete the line"),
    ],
)
def test_cases(check, case, message):
    """The case stands between good ones, so its line is 10."""
    first, second = CASES.splitlines()
    with pytest.raises(ValueError, match=r"Tiny_TRAIN\.ts, line 10: " + message) as refused:
        check(HEAD + f"{first}\n{case}\n{second}\n")
    assert "may have been cut" not in str(refused.value)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("1,2,3:4,5,6:", "found the label ''"),
        ("1,2,3:4,5,6", "found 2 parts between colons, expected 3"),
        ("1,2,3:4,5", "found 2 parts between colons, expected 3"),
        ("1,2,3:", "found 2 parts between colons, expected 3"),
        ("1,2", "found 1 parts between colons, expected 3"),
    ],
)
def test_a_file_that_was_cut_says_so(check, kept, message):
    with pytest.raises(ValueError, match=rf"line 11: {message}.*\(the file ends in the middle of"):
        check(HEAD + CASES + kept)


def test_the_first_case_settles_the_dimensions_that_the_header_leaves_open(check):
    head = HEAD.replace("@dimensions 2\n", "")
    with pytest.raises(ValueError, match=r"line 10: found 2 parts.* 2 dimensions, as line 8 has"):
        check(head + CASES + "1,2,3:a\n")
    with pytest.raises(
        ValueError, match=r"line 8: found no colon, expected dimensions and a label"
    ):
        check(head + "1,2,3\n")
