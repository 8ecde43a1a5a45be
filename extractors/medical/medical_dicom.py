"""DICOM headers: what the elements of ALLOWED say, and nothing of the person.

Only these are read, each only with the type that the standard gives it: an allow-list, so that what is new,
private, misplaced or free text stays out. Part of the extractor `medical`; needs pydicom.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterable, MutableSequence
from decimal import Decimal
from typing import Any, BinaryIO

import extractor_facts as facts
import medical_uids
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

HEADER_BYTES = 2 << 20  # of a header that are read; what is skipped does not count
MAX_TEXT = 64  # characters, as many as the DICOM types of the allowed elements may have
MAX_ITEMS = 100
DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage, a DICOMDIR
NUMBERS = {"DS", "IS", "FL", "FD", "SS", "US", "SL", "UL", "SV", "UV"}
CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
# What describes image, device and method. None of them is in table E.1-1 of DICOM PS3.15, which lists what a
# confidentiality profile must look after, nor is any date, time, place, identifier, or description typed by hand.
ALLOWED = """
    Modality ImageType ConversionType PresentationIntentType ContentQualification SpecificCharacterSet
    BodyPartExamined Laterality ImageLaterality ViewPosition PatientPosition BurnedInAnnotation
    RecognizableVisualFeatures PatientIdentityRemoved LongitudinalTemporalInformationModified
    QualityControlImage Manufacturer ManufacturerModelName SoftwareVersions SamplesPerPixel
    PhotometricInterpretation Rows Columns NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation
    PlanarConfiguration PixelAspectRatio PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing WindowCenter
    WindowWidth RescaleIntercept RescaleSlope RescaleType PixelIntensityRelationship LossyImageCompression
    LossyImageCompressionRatio LossyImageCompressionMethod SliceThickness SpacingBetweenSlices
    ImageOrientationPatient ImagesInAcquisition NumberOfTemporalPositions TemporalResolution FrameTime CineRate
    RecommendedDisplayFrameRate ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName
    AngioFlag RepetitionTime EchoTime InversionTime NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers
    MagneticFieldStrength NumberOfPhaseEncodingSteps EchoTrainLength PercentSampling PercentPhaseFieldOfView
    PixelBandwidth ReceiveCoilName TransmitCoilName AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle
    VariableFlipAngleFlag DiffusionBValue AcquisitionContrast PulseSequenceName EchoPulseSequence
    ComplexImageComponent KVP DataCollectionDiameter ReconstructionDiameter DistanceSourceToDetector
    DistanceSourceToPatient GantryDetectorTilt TableHeight RotationDirection ExposureTime XRayTubeCurrent
    Exposure FilterType GeneratorPower FocalSpots ConvolutionKernel RevolutionTime SingleCollimationWidth
    TotalCollimationWidth TableSpeed TableFeedPerRotation SpiralPitchFactor CTDIvol AnodeTargetMaterial Grid
    PositionerType PositionerPrimaryAngle PositionerSecondaryAngle FieldOfViewShape FieldOfViewDimensions Units
    CountsSource SeriesType CorrectedImage DecayCorrection AttenuationCorrectionMethod ReconstructionMethod
    ActualFrameDuration NumberOfSlices NumberOfTimeSlices CollimatorType EnergyWindowRange TransducerType
    MechanicalIndex DepthOfScanField VolumetricProperties DimensionOrganizationType TotalPixelMatrixColumns
    TotalPixelMatrixRows ImagedVolumeWidth ImagedVolumeHeight ImagedVolumeDepth SegmentationType DoseUnits
    DoseType DoseSummationType DoseGridScaling TissueHeterogeneityCorrection
""".split()  # noqa: SIM905 - easier to read than 130 strings
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)


class WholeRead(Exception):
    """The DICOM library is about to read all of a file, which it does before it inflates a deflated one."""


class Header:
    """A file of which a bounded number of bytes can be read."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.left, self.name = file, HEADER_BYTES, name
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes."""
        if size < 0:
            raise WholeRead
        self.left -= size
        if self.left < 0:
            raise ValueError(f"its header is longer than {HEADER_BYTES >> 20} MiB")
        return self.file.read(size)


class Reading:
    """One DICOM file: reads up to the last allowed element, or as far as it is sound."""

    def __init__(self, file: BinaryIO, allowed: Iterable[str]) -> None:
        self.file = file
        self.tags = {tag: keyword for keyword in allowed if (tag := tag_for_keyword(keyword)) is not None}
        self.tags |= {0x00080016: "SOPClassUID"}
        self.last = max(self.tags)
        self.seen: int | None = None
        self.next = 0  # where the element after the last one begins
        self.end: tuple[int, int] | None = None  # tag and length of the first element beyond the last allowed one
        self.place = 0  # of its value
        self.inflated = False
        self.bad: int | None = None
        self.reason = ""

    def stop(self, tag: int, _type: str | None, length: int) -> bool:
        """Tell the library whether to stop before an element; it asks for each of the outermost level."""
        if tag in {self.bad, 0}:  # zeros are no element
            return True
        if tag > self.last:
            self.end, self.place = (int(tag), length), self.file.tell()
            return True
        self.seen = int(tag)
        self.next = self.file.tell() + (0 if length == UNDEFINED else length)
        return False

    def dataset(self) -> Any:
        """Return what can be read; an element that breaks is the last one."""
        try:
            return self._read()
        except Exception as exc:
            if self.seen is None:
                raise
            self.bad, self.reason = self.seen, f"{type(exc).__name__}: {exc}"[:200]
            return self._read()

    def _read(self) -> Any:
        self.file.seek(0)
        tags = list(self.tags)
        header = Header(self.file, "file")
        if DIRECTORY.encode() in self.file.read(1024):
            return self._directory(header, tags)
        self.file.seek(0)
        try:
            return read_partial(header, self.stop, force=True, specific_tags=tags)
        except WholeRead:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            content = io.BytesIO(inflate.decompress(self.file.read(HEADER_BYTES), HEADER_BYTES))
            found = read_dataset(content, False, True, stop_when=self.stop, specific_tags=tags)
            self.inflated = True
            return found

    def _directory(self, header: Header, tags: list[int]) -> Any:
        """Return the elements of a DICOMDIR; its records are not looked at."""
        header.seek(132)  # behind the prefix
        meta = read_dataset(header, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        syntax = str(
            meta.get("TransferSyntaxUID", "")
        )  # explicit and little-endian by the standard, but not always
        forms = (syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
        found = read_dataset(header, *forms, stop_when=self.stop, specific_tags=tags)
        found.file_meta = FileMetaDataset(meta)
        return found


def document_of(file: BinaryIO, size: int | None, more: Iterable[str]) -> dict[str, Any]:
    """Return the document of a DICOM file of `size` bytes, None where that is not known.

    `more` are keywords besides those of ALLOWED.
    """
    reading = Reading(file, (*ALLOWED, *more))
    dataset = reading.dataset()
    document: dict[str, Any] = {"format": "dicom"}
    meta = getattr(dataset, "file_meta", {})
    syntax = DeflatedExplicitVRLittleEndian if reading.inflated else meta.get("TransferSyntaxUID")
    document |= registered("TransferSyntax", syntax)
    document |= registered("SOPClass", dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID"))
    unreadable, long = [], []
    for tag, keyword in sorted(reading.tags.items()):
        if tag not in dataset or keyword == "SOPClassUID":
            continue
        try:
            value = value_of(dataset[tag], tag)
        except Exception:  # noqa: BLE001 - the library's converters raise nearly anything
            unreadable.append(keyword)
            continue
        if value is not None:
            document[keyword] = value
            long += [keyword] if isinstance(value, list) and len(dataset[tag].value) > MAX_ITEMS else []
    if len(document) == 1:
        raise ValueError("it begins like a DICOM file, but none of its elements can be read")
    if unreadable:
        document["unreadable"] = unreadable
    if reading.bad is not None:
        place = f"({reading.bad >> 16:04X},{reading.bad & 0xFFFF:04X})"
        document["partial"] = f"reading stopped at {place}: {reading.reason}"
    elif size is not None and (reason := cut(reading, size, document)):
        document["partial"] = reason
    if long:
        reason = f"of the lists {', '.join(long)} {MAX_ITEMS} values are told"
        document["partial"] = "; ".join(filter(None, (document.get("partial"), reason)))
    return document | common(document)


def common(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the allowed elements say under the shared keys: nothing of the person."""
    device = [document.get(key) for key in ("Manufacturer", "ManufacturerModelName")]
    software = document.get("SoftwareVersions")
    return facts.common(
        instrument=[" ".join(part for part in device if isinstance(part, str))],
        sample=document.get("BodyPartExamined"),
        technique=[document.get("Modality")],
        software=[str(each) for each in software] if isinstance(software, list) else software,
        units=[document.get(key) for key in ("RescaleType", "Units", "DoseUnits")],
    )


def cut(reading: Reading, size: int, document: dict[str, Any]) -> str:
    """Return how the file was cut off, empty where it was not; add the length of the pixel data."""
    if reading.inflated:
        return ""
    if reading.end is None:
        image = "Image Storage" in document.get("SOPClassName", "")
        return "the file ends before its pixel data" if image or reading.next > size else ""
    tag, length = reading.end
    if tag not in PIXEL_DATA or length == UNDEFINED:
        return ""
    document["pixel_data_bytes"] = length
    return "the file ends within its pixel data" if reading.place + length > size else ""


def registered(what: str, uid: Any) -> dict[str, str]:
    """Return a UID and its name; nothing for one that is not in DICOM's registry and could be anybody's."""
    if uid is None:
        return {}
    number_, name = medical_uids.registered(uid, str(getattr(uid, "name", uid)))
    return ({f"{what}UID": number_} if number_ else {}) | ({f"{what}Name": name} if name else {})


def value_of(element: Any, tag: int) -> Any:
    """Return an element's value for JSON; None where it is empty, or not of the type that the standard gives it."""
    if element.VR not in dictionary_VR(tag) or element.VR in {"SQ", "OB", "OW", "UN"}:
        return None
    take = number if element.VR in NUMBERS else code if element.VR == "CS" else clean
    if isinstance(element.value, MutableSequence):
        found = [take(each) for each in element.value[:MAX_ITEMS]]
        if take is number:
            return [part for part in found if part is not None] or None
        # an empty text keeps its place, since that says what a value of ImageType means (PS3.3, C.7.6.1.1.2)
        return [part or "" for part in found] if any(found) else None
    return take(element.value)


def number(value: Any) -> float | str | None:
    """Return a number; None where it is none, whatever its type was to be."""
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else str(int(value))
    if not isinstance(value, (float, Decimal)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else float(value)


def code(value: Any) -> str | None:
    """Return a code string, which has capital letters, digits, spaces and underscores, up to 16; else None."""
    return str(value).strip() if CODE.fullmatch(str(value)) else None


def clean(value: Any) -> str | None:
    """Return text without what pads it, and such as JSON and a database can hold; None where there is none."""
    text = "" if value is None else str(value)
    return text.replace("\0", " ").strip().encode("utf-8", "replace").decode()[:MAX_TEXT] or None
