"""The paper's data sets and their neighbours, as data: counts, layouts, pairing rules, homes, licences.

Layouts are those of the archives as published, then the usual re-packings. Licences are notes, not legal advice.
"""

from __future__ import annotations

from .described import Place, PublishedSet, Rule, Split

_REPACKED = {
    "": (("input", "target"), ("lq", "gt")),
    "rain": (("rain", "norain"), ("rainy", "gt"), ("rainy", "clean"), ("rainy", "norain")),
    "haze": (("hazy", "clear"), ("hazy", "gt"), ("synthetic", "original")),
    "blur": (("blur", "sharp"), ("blur/{scene}", "sharp/{scene}")),
    "lowlight": (("low", "high"), ("low", "normal")),
    "snow": (("synthetic", "gt"), ("snow", "gt")),
    "mixed": (),
}
_REPACKED["streaks"] = (*_REPACKED["rain"], (".", "."))
"""Folders in which sets of a task are handed around, below the name of the split or bare."""

_STREAKS = (Rule(), Rule("rain-(.+)", "norain-(.+)"), Rule("norain-(.+)x2", "norain-(.+)"), Rule("(.+)x2", "(.+)"))
_PREFIX = (Rule(), Rule("([^_]+)_.+", "([^_]+)"))
_YANG = "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html"
_FU = "https://xueyangfu.github.io/projects/cvpr2017.html"
_RESIDE = "https://sites.google.com/view/reside-dehaze-datasets"
_LOL = "https://daooshee.github.io/BMVC2018website/"
_LOL2 = "https://github.com/flyywh/CVPR-2020-Semi-Low-Light"
_SNOW = "https://sites.google.com/view/yunfuliu/desnownet"
_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_BERKELEY = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"


def _pairs(name: str, count: int | None, task: str, *own: tuple[str, str | None], degree: str | None = None) -> Split:
    """A split with its ``own`` folders, then the usual ones below its name, then those that do not name it."""
    usual = (*_REPACKED[""], *_REPACKED[task])
    places = [Place(lq, gt) for lq, gt in own]
    places += [Place(_below(name, lq), _below(name, gt)) for lq, gt in usual]
    places += [Place(lq, gt, bare=True) for lq, gt in usual]
    return Split(name, count, tuple(places), degree)


def _below(folder: str, inside: str) -> str:
    return folder if inside == "." else f"{folder}/{inside}"


def _photos(name: str, count: int, *folders: str) -> Split:
    """A split of clean photos in one of ``folders``, or in the root itself."""
    return Split(name, count, (*(Place(None, folder) for folder in folders), Place(None, ".", bare=True)))


def _snow_test(size: str, count: int, degree: str) -> Split:
    tops = ("", "test/", "media/jdway/GameSSD/overlapping/test/", "jdway/GameSSD/overlapping/test/")
    own = [(f"{top}Snow100K-{size}/synthetic", f"{top}Snow100K-{size}/gt") for top in tops]
    return Split(f"test-{size.lower()}", count, tuple(Place(lq, gt) for lq, gt in own), degree)


RAIN = (
    PublishedSet(
        "Rain100L",
        "rain",
        (
            _pairs("train", 200, "streaks", ("RainTrainL", "RainTrainL")),
            _pairs("test", 100, "streaks", ("rainy", ".")),
        ),
        _YANG,
        archives=("Rain100L", "RainTrainL"),
        rules=_STREAKS,
        note="the page now offers 1,800 and 200 pairs under this name; those are Rain200L here",
    ),
    PublishedSet(
        "Rain100H",
        "rain",
        (
            _pairs("train", 1800, "streaks", ("RainTrainH/rain", "RainTrainH/norain")),
            _pairs("test", 100, "streaks", ("rainy", ".")),
        ),
        _YANG,
        archives=("RainTrainH",),
        rules=_STREAKS,
        note="some papers train on 1,254 pairs, as truths of the test set are among the 1,800",
    ),
    PublishedSet(
        "Rain200L",
        "rain",
        (
            _pairs(
                "train",
                1800,
                "streaks",
                ("rain_data_train_Light/rain/X2", "rain_data_train_Light/norain"),
                ("rain_data_train_Light/rain", "rain_data_train_Light/norain"),
                ("train/rain/X2", "train/norain"),
            ),
            _pairs(
                "test",
                200,
                "streaks",
                ("rain_data_test_Light/rain/X2", "rain_data_test_Light/norain"),
                ("rain_data_test_Light/rain", "rain_data_test_Light/norain"),
                ("test/rain/X2", "test/norain"),
            ),
        ),
        _YANG,
        archives=("rain_data_train_Light", "rain_data_test_Light"),
        rules=_STREAKS,
    ),
    PublishedSet(
        "Rain200H",
        "rain",
        (
            _pairs(
                "train",
                1800,
                "streaks",
                ("rain_data_train_Heavy/rain/X2", "rain_data_train_Heavy/norain"),
                ("rain_data_train_Heavy/rain", "rain_data_train_Heavy/norain"),
                ("train/rain/X2", "train/norain"),
            ),
            _pairs(
                "test",
                200,
                "streaks",
                ("rain_data_test_Heavy/rain/X2", "rain_data_test_Heavy/norain"),
                ("rain_data_test_Heavy/rain", "rain_data_test_Heavy/norain"),
                ("test/rain/X2", "test/norain"),
            ),
        ),
        _YANG,
        archives=("rain_data_train_Heavy", "rain_data_test_Heavy"),
        rules=_STREAKS,
        note="truths may be those of Rain200L",
    ),
    PublishedSet(
        "DID-Data",
        "rain",
        (
            _pairs(
                "train",
                12000,
                "rain",
                ("DID-MDN-training/{degree}/train2018new", None),
                ("{degree}/train2018new", None),
            ),
            _pairs("test", 1200, "rain", ("DID-MDN-test", None)),
        ),
        "https://github.com/hezhangsprinter/DID-MDN",
        aliases=("DID", "DID-MDN", "Rain1200"),
        archives=("DID-MDN-datasets",),
        degrees={"Rain_Light": "light", "Rain_Medium": "medium", "Rain_Heavy": "heavy"},
        note="each file is the rainy image with the truth to its right; re-packed copies have lost the degree",
    ),
    PublishedSet(
        "DDN-Data",
        "rain",
        (
            _pairs("train", 12600, "rain", ("training/rainy_image", "training/ground_truth")),
            _pairs("test", 1400, "rain", ("testing/rainy_image", "testing/ground_truth")),
        ),
        _FU,
        aliases=("DDN", "Rain1400", "Rain14000"),
        archives=("rainy_image_dataset",),
        rules=(Rule(), Rule(r"(\d+)_\d+", r"(\d+)")),
        note="14 rainy images of each truth; the test set Test2800 of Rain13K is another one",
    ),
    PublishedSet(
        "LHP-Rain",
        "rain",
        (_pairs("train", None, "rain"), _pairs("test", 1000, "rain")),
        "https://yunguo224.github.io/LHP-Rain.github.io/",
        aliases=("LHP",),
        certain=False,
        note="real rain; only the usual re-packings are read, and the number of training pairs is not confirmed",
    ),
)

HAZE = (
    PublishedSet(
        "RESIDE",
        "haze",
        (
            _pairs(
                "train",
                72135,
                "haze",
                ("haze/OTS", "clear/clear_images"),
                ("OTS/hazy", "OTS/clear"),
                ("hazy/part*", "clear"),
                ("part*", "clear"),
                ("synthetic/part*", "original"),
            ),
            Split(
                "test-indoor",
                500,
                tuple(
                    Place(f"{top}/hazy", f"{top}/{gt}")
                    for top in ("SOTS/indoor/nyuhaze500", "SOTS/indoor", "indoor/nyuhaze500", "indoor")
                    for gt in ("gt", "clear")
                ),
            ),
            Split(
                "test-outdoor",
                500,
                (
                    *(
                        Place(f"{top}/hazy", f"{top}/{gt}")
                        for top in ("SOTS/outdoor", "outdoor")
                        for gt in ("gt", "clear")
                    ),
                    Place("input", "target", bare=True),
                    Place("hazy", "gt", bare=True),
                ),
            ),
        ),
        _RESIDE,
        aliases=("RESIDE-OTS", "OTS", "RESIDE-beta", "SOTS", "RESIDE-SOTS"),
        archives=("OTS_BETA", "OTS_ALPHA"),
        rules=_PREFIX,
        centred=True,
        note="train is OTS: 2,061 truths, 35 hazy images each; truths of SOTS indoor have a border of 10 pixels; "
        "leave out of OTS what SOTS outdoor shows before comparing with others",
    ),
)

BLUR = (
    PublishedSet(
        "GoPro",
        "blur",
        (
            _pairs("train", 2103, "blur", ("train/{scene}/blur", "train/{scene}/sharp")),
            _pairs("test", 1111, "blur", ("test/{scene}/blur", "test/{scene}/sharp")),
        ),
        "https://seungjunnah.github.io/Datasets/gopro",
        archives=("GOPRO_Large",),
        licence="CC BY 4.0",
        note="blur_gamma, the other version of the blurred images, is not read",
    ),
)

LOWLIGHT = (
    PublishedSet(
        "LOLv1",
        "lowlight",
        (
            _pairs("train", 485, "lowlight", ("our485/low", "our485/high")),
            _pairs("test", 15, "lowlight", ("eval15/low", "eval15/high")),
        ),
        _LOL,
        aliases=("LOL", "LOL-v1"),
        archives=("LOLdataset",),
    ),
    PublishedSet(
        "LOLv2-real",
        "lowlight",
        (
            _pairs("train", 689, "lowlight", ("Real_captured/Train/Low", "Real_captured/Train/Normal")),
            _pairs("test", 100, "lowlight", ("Real_captured/Test/Low", "Real_captured/Test/Normal")),
        ),
        _LOL2,
        aliases=("LOL-v2-real",),
        archives=("LOL-v2",),
        rules=(Rule("low(.+)", "normal(.+)"), Rule()),
        note="photos of its test scenes may be among the training pairs",
    ),
    PublishedSet(
        "LOLv2-syn",
        "lowlight",
        (
            _pairs("train", 900, "lowlight", ("Synthetic/Train/Low", "Synthetic/Train/Normal")),
            _pairs("test", 100, "lowlight", ("Synthetic/Test/Low", "Synthetic/Test/Normal")),
        ),
        _LOL2,
        aliases=("LOL-v2-syn", "LOLv2-synthetic"),
        archives=("LOL-v2",),
    ),
)

SNOW = (
    PublishedSet(
        "Snow100K",
        "snow",
        (
            _pairs(
                "train",
                50000,
                "snow",
                ("all/synthetic", "all/gt"),
                ("Snow100K-training/synthetic", "Snow100K-training/gt"),
            ),
            _snow_test("S", 16611, "small"),
            _snow_test("M", 16588, "medium"),
            _snow_test("L", 16801, "large"),
        ),
        _SNOW,
        archives=("Snow100K-training", "Snow100K-testset", "Snow100K-testing"),
        note="the size of the flakes is known of the test pairs only",
    ),
    PublishedSet(
        "RealSnow",
        "snow",
        (_pairs("train", 1650, "snow"), _pairs("test", 240, "snow")),
        "https://github.com/zhuyr97/WGWS-Net",
        certain=False,
        note="real snow; only the usual re-packings are read, and the number of training pairs is not confirmed",
    ),
)

_CDD = ("low", "haze", "rain", "snow", "low_haze", "low_rain", "low_snow", "haze_rain", "haze_snow")
MIXED = (
    PublishedSet(
        "CDD-11",
        "mixed",
        (
            _pairs(
                "train",
                13013,
                "mixed",
                ("CDD-11_train/{degree}", "CDD-11_train/clear"),
                ("train/{degree}", "train/clear"),
            ),
            _pairs(
                "test", 2200, "mixed", ("CDD-11_test/{degree}", "CDD-11_test/clear"), ("test/{degree}", "test/clear")
            ),
        ),
        "https://github.com/gy65896/OneRestore",
        aliases=("CDD11",),
        degrees={name: name for name in (*_CDD, "low_haze_rain", "low_haze_snow")},
        note="11 damages of the same 1,183 and 200 truths; the damage stands where others have the degree",
    ),
)

CLEAN = (
    PublishedSet(
        "BSD400",
        "noise, jpeg",
        (_photos("train", 400, "BSD400", "BSR/BSDS500/data/images/train + BSR/BSDS500/data/images/test"),),
        _BERKELEY,
        "clean",
        licence="research and education only",
        note="as colour images: those of BSDS500 for training and test",
    ),
    PublishedSet(
        "BSD68",
        "noise",
        (_photos("test", 68, "CBSD68", "BSD68", "original_png"),),
        _BERKELEY,
        "clean",
        aliases=("CBSD68",),
        licence="research and education only",
        note="in colour, as CBSD68, unless a paper says grey",
    ),
    PublishedSet(
        "BSDS500",
        "noise, jpeg",
        tuple(
            _photos(split, count, f"BSR/BSDS500/data/images/{split}", f"data/images/{split}", f"images/{split}", split)
            for split, count in (("train", 200), ("val", 100), ("test", 200))
        ),
        _BERKELEY,
        "clean",
        aliases=("BSD500",),
        licence="research and education only",
    ),
    PublishedSet(
        "DIV2K",
        "noise, jpeg, mixed",
        (
            _photos("train", 800, "DIV2K_train_HR", "train/HR", "train"),
            _photos("valid", 100, "DIV2K_valid_HR", "valid/HR", "valid"),
        ),
        _DIV2K,
        "clean",
        licence="academic research only",
    ),
    PublishedSet(
        "Flickr2K",
        "noise, jpeg, mixed",
        (_photos("train", 2650, "Flickr2K_HR", "Flickr2K"),),
        "https://github.com/limbee/NTIRE2017",
        "clean",
        licence="that of each photo on Flickr",
    ),
    PublishedSet(
        "DF2K",
        "noise, jpeg, mixed",
        (
            _photos(
                "train",
                3450,
                "DF2K_HR",
                "DIV2K/DIV2K_train_HR + Flickr2K/Flickr2K_HR",
                "DIV2K_train_HR + Flickr2K_HR",
            ),
        ),
        _DIV2K,
        "clean",
        licence="those of DIV2K and Flickr2K",
        note="DIV2K's training photos and Flickr2K together",
    ),
    PublishedSet(
        "WED",
        "noise, jpeg",
        (_photos("train", 4744, "pristine_images", "WaterlooED"),),
        "https://ece.uwaterloo.ca/~k29ma/exploration/",
        "clean",
        aliases=("WaterlooED", "Waterloo Exploration Database"),
        archives=("exploration_database_and_code",),
        licence="research use, copyright notice kept",
    ),
    PublishedSet(
        "LIVE1",
        "jpeg",
        (_photos("test", 29, "refimgs", "LIVE1"),),
        "https://live.ece.utexas.edu/research/Quality/subjective.htm",
        "clean",
        archives=("databaserelease2",),
        licence="research use, copyright notice kept",
    ),
    PublishedSet(
        "Urban100",
        "noise",
        (_photos("test", 100, "Urban100_HR", "HR", "Urban100"),),
        "https://github.com/jbhuang0604/SelfExSR",
        "clean",
    ),
)

OWN = PublishedSet(
    "pairs",
    "any",
    tuple(_pairs(name, None, "mixed") for name in ("train", "val", "test")),
    "your own folder",
    licence="yours",
    rules=(Rule(), *_PREFIX[1:], *_STREAKS[1:]),
    note="any folder of pairs: input/target or lq/gt, also below the name of the split",
)

PUBLISHED: tuple[PublishedSet, ...] = (*RAIN, *HAZE, *BLUR, *LOWLIGHT, *SNOW, *MIXED, *CLEAN, OWN)
"""Every data set that can be read by name."""
