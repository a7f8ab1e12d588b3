"""For each command the panel that help lists it in, and an example. A test parses every one of them."""

from __future__ import annotations

SCORE, NETWORK = "Score scans", "Receive and send DICOM"
LEARN, LOOK = "Make a bundle", "Look at scans and machines"

EXAMPLES: dict[str, tuple[str, str]] = {
    "demo": (SCORE, "maescan demo -o demo"),
    "score": (SCORE, "maescan score SCANS --bundle BUNDLE -o SCORES --maps --device auto"),
    "watch": (SCORE, "maescan watch INBOX --bundle BUNDLE -o SCORES --on-alert 'mail -s alert radiology'"),
    "merge": (SCORE, "maescan merge SHARD1 SHARD2 --bundle BUNDLE -o SCORES"),
    "calibrate": (SCORE, "maescan calibrate BUNDLE HEALTHY_SCANS"),
    "pseudonym": (SCORE, "maescan pseudonym KEYFILE SCANS --out SCORES --label p0123456789abcdef"),
    "view": (SCORE, "maescan view SCORES patient/scan.nii.gz"),
    "listen": (NETWORK, "maescan listen --bundle BUNDLE -o SCORES --host 10.0.0.5 --from CT1@10.0.0.7"),
    "send": (NETWORK, "maescan send SCORES --forward PACS@pacs.example:104"),
    "echo": (NETWORK, "maescan echo PACS@pacs.example:104"),
    "train": (LEARN, "maescan train HEALTHY_SCANS --preset brats-fg -o RUN"),
    "export": (LEARN, "maescan export RUN -o BUNDLE --to openvino,tensorrt-rtx"),
    "import-checkpoint": (LEARN, "maescan import-checkpoint --mae MAE.pth --classifier C.pth --data DATA -o BUNDLE"),
    "card": (LEARN, "maescan card BUNDLE --licence Apache-2.0 --training-data '120 healthy heads, T1, one scanner'"),
    "sign": (LEARN, "maescan sign BUNDLE --key minisign.key"),
    "pull": (LEARN, "maescan pull hf://ORG/NAME -o BUNDLE"),
    "prepare": (LEARN, "maescan prepare DATA --preset brats -o CACHE"),
    "evaluate": (LEARN, "maescan evaluate DATA --bundle BUNDLE -o REPORT"),
    "compare": (LEARN, "maescan compare REPORT1 REPORT2"),
    "stress": (LEARN, "maescan stress HEALTHY_SCANS --bundle BUNDLE -o REPORT"),
    "ablate": (LEARN, "maescan ablate DATA --experiment table1 -o TABLES"),
    "inspect": (LOOK, "maescan inspect SCANS --bundle BUNDLE"),
    "phantom": (LOOK, "maescan phantom PHANTOMS --healthy 20 --lesions 20"),
    "verify": (LOOK, "maescan verify BUNDLE"),
    "doctor": (LOOK, "maescan doctor"),
    "bench": (LOOK, "maescan bench --bundle BUNDLE --quick"),
    "version": (LOOK, "maescan version"),
}
