"""What is sent and received over a network: DICOM images in, DICOM results out."""
