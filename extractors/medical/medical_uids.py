"""Names of DICOM's UIDs that are younger than the library's registry (DICOM PS3.6, table A-1)."""

from __future__ import annotations

import re

# The standard's own roots of transfer syntaxes and of classes of storage; nobody else may give out UIDs below them
OWN = re.compile(r"1\.2\.840\.10008\.(1\.2(\.\d{1,3}){0,4}|1\.3\.10|5\.1\.4(\.\d{1,3}){1,6})")
YOUNGER = {
    "1.2.840.10008.1.2.4.100.1": "Fragmentable MPEG2 Main Profile / Main Level",
    "1.2.840.10008.1.2.4.101.1": "Fragmentable MPEG2 Main Profile / High Level",
    "1.2.840.10008.1.2.4.102.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.103.1": "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.104.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "1.2.840.10008.1.2.4.105.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "1.2.840.10008.1.2.4.106.1": "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000 Image Compression",
    "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
    "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    "1.2.840.10008.5.1.4.1.1.6.3": "Photoacoustic Image Storage",
    "1.2.840.10008.5.1.4.1.1.9.1.4": "General 32-bit ECG Waveform Storage",
    "1.2.840.10008.5.1.4.1.1.11.12": "Variable Modality LUT Softcopy Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.77.1.8": "Confocal Microscopy Image Storage",
    "1.2.840.10008.5.1.4.1.1.77.1.9": "Confocal Microscopy Tiled Pyramidal Image Storage",
    "1.2.840.10008.5.1.4.1.1.88.77": "Waveform Annotation SR Storage",
    "1.2.840.10008.5.1.4.1.1.201.1": "Inventory Storage",
    "1.2.840.10008.5.1.4.1.1.481.23": "Enhanced RT Image Storage",
    "1.2.840.10008.5.1.4.1.1.481.24": "Enhanced Continuous RT Image Storage",
    "1.2.840.10008.5.1.4.1.1.481.25": "RT Patient Position Acquisition Instruction Storage",
}


def registered(uid: object, name: str) -> tuple[str, str]:
    """Return a UID and its name, by the library or by YOUNGER; empty where it is none of the standard."""
    text = str(uid).strip("\0 ")
    if not text.startswith("1.2.840.10008.") or not (name != text or OWN.fullmatch(text)):
        return "", ""
    return text, YOUNGER.get(text, "" if name == text else name)
